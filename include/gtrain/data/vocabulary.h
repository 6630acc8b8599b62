// Labels that are short texts (ogbg-code2's method names): words, vocabulary, ids. A model predicts
// one of V tokens at each of five positions; the metric compares sets of words.
//
// The vocabulary is that of the training split: its 5000 most frequent words in descending order,
// equal ones by their first occurrence, then __UNK__ for all others and __EOS__ for the end
// (Hu et al. 2020). Words outside it keep ids of their own from V on, so that a set knows them
// apart; losses and models see __UNK__.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gtrain/data/column.h"

namespace gtrain::data {

inline constexpr std::int64_t kVocabularyWords = 5000;
inline constexpr std::int64_t kTokenPositions = 5;

// Parts between blanks.
std::vector<std::string> words_of(std::string_view text);

// Words of the texts with these ids, most frequent first, at most `most`; __UNK__ and __EOS__.
std::vector<std::string> vocabulary_of(const std::vector<std::string>& texts,
                                       const std::vector<std::int64_t>& train,
                                       std::int64_t most = kVocabularyWords);

// I64 [texts, longest text]: ids of each one's words, -1 after the last.
Column token_labels(const std::vector<std::string>& texts,
                    const std::vector<std::string>& vocabulary);

}  // namespace gtrain::data
