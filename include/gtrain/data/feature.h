// What the numbers in feature columns mean: categories of integer columns, and columns made from
// the graph alone for sets that have none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gtrain/data/column.h"
#include "gtrain/data/dataset.h"

namespace gtrain::data {

// OGB's tables: atomic number, chirality, degree, formal charge, hydrogens, radical electrons,
// hybridisation, aromatic, in ring; bond type, stereo, conjugated.
// "ogb_mol" are today's tables; "ogb_mol_2020" has four kinds of chirality, not five: OGB's tables
// when the parameter counts of GPS and LRGB were published. "ogb_code" are those of ogbg-code2 with
// the columns that data/code.h makes. Empty for other names.
std::vector<std::int64_t> ogb_atom_categories(const std::string& features = "ogb_mol");
std::vector<std::int64_t> ogb_bond_categories(const std::string& features = "ogb_mol");

// Category counts per column of integer features: `stated` (every value then lies in [0, count),
// else base::DataError `where (row R): …`), or where that is empty the largest value + 1. Empty,
// that is numeric, for float columns and for unstated ones with negative values.
std::vector<std::int64_t> categories_of(const Column& features,
                                        const std::vector<std::int64_t>& stated,
                                        const std::string& where);

// Values of dataset.features, "" first.
const std::vector<std::string_view>& feature_names();

// Of those, the ones that packing has no part in: made afresh when a data set is opened.
bool made_from_graph(const std::string& name);

// Replaces the node features: "constant" (one category, 0), "degree_onehot" (one category column,
// the in-degree; degrees above `degree_cap` count as it, 0: no cap), "local_degree_profile" (Cai &
// Wang 2018: F32 [degree, and min, max, mean, population std of the neighbours' degrees], of edges
// that leave a node, zeros without any), "one_hot" (each category a 0/1 column). Changes info.hash
// alike. "numeric" makes integer columns plain numbers. Other names throw base::RecipeError.
void apply_features(Dataset& dataset, const std::string& name, std::int64_t degree_cap = 0);

}  // namespace gtrain::data
