// Source code as graphs (ogbg-code2): from what the files hold, an abstract syntax tree with its
// nodes in depth-first order, to what models are trained on.
//
//   node columns  type, attribute, depth (at most 20)
//   edges         parent -> child and its reverse; from each node that stands for a token of the
//                 text to the next such node, and its reverse
//   edge columns  0 tree | 1 next token, and 0 as stored | 1 reversed
#pragma once

#include "gtrain/data/folder.h"

namespace gtrain::data {

// Changes a folder that was read, with raw/node_is_attributed and raw/node_depth beside it. Throws
// base::DataError where those are missing or do not fit the nodes.
void add_code_structure(Folder& folder);

}  // namespace gtrain::data
