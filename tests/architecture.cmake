# The layer test: no file of a room includes what the room table in CMakeLists.txt does not give it.
#
#   cmake -DROOT=<source tree> -P tests/architecture.cmake
#
# Read from the table, not from the build, so that a program that happens to link still fails here.
# Checked in include/gtrain/<room>/ and src/<room>/, for every #include:
#   "gtrain/<other>/…"   <other> is the room itself or one of its DEPENDS (not theirs in turn);
#   "<other>/detail/…"   src-private headers only of the room itself;
#   <third party>        the party stands under USES (those of DEPENDS do not count).
# Without ROOT: the tree above this file.

cmake_minimum_required(VERSION 3.25)
if(NOT DEFINED ROOT)
  get_filename_component(ROOT ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
endif()

# Third party -> regular expression of the header names that belong to it.
set(headers_torch "^(torch|ATen|c10|caffe2)/")
set(headers_tbb "^(tbb|oneapi)/")
set(headers_boost "^boost/")
set(headers_hdf5 "^hdf5")
set(headers_zlib "^zlib\\.h")
set(headers_yaml "^yaml-cpp/")
set(headers_eigen "^Eigen/")
set(headers_spectra "^Spectra/")
set(headers_json "^nlohmann/")
set(headers_cli11 "^CLI/")
set(headers_xxhash "^xxhash\\.h")
set(headers_fmt "^fmt/")
set(parties torch tbb boost hdf5 zlib yaml eigen spectra json cli11 xxhash fmt)

set(problems "")

macro(refuse)
  string(APPEND problems "  ${ARGV}\n")
endmacro()

# gtrain_room(NAME [SHARED] DEPENDS … USES …) -> rooms, depends_NAME, uses_NAME.
function(read_table)
  file(READ ${ROOT}/CMakeLists.txt text)
  string(REGEX REPLACE "#[^\n]*" "" text "${text}")
  string(REGEX MATCHALL "gtrain_room\\([^)]*\\)" calls "${text}")
  set(rooms "")
  foreach(call IN LISTS calls)
    string(REGEX REPLACE "gtrain_room\\(([^)]*)\\)" "\\1" call "${call}")
    string(REGEX REPLACE "[ \n\t]+" ";" words "${call}")
    list(FILTER words EXCLUDE REGEX "^$")
    list(POP_FRONT words room)
    cmake_parse_arguments(R "SHARED" "" "DEPENDS;USES" ${words})
    foreach(below IN LISTS R_DEPENDS)
      if(NOT below IN_LIST rooms)
        refuse("CMakeLists.txt: ${room} depends on ${below}, which does not stand above it")
      endif()
    endforeach()
    list(APPEND rooms ${room})
    set(depends_${room} "${R_DEPENDS}" PARENT_SCOPE)
    set(uses_${room} "${R_USES}" PARENT_SCOPE)
  endforeach()
  if(NOT rooms)
    message(FATAL_ERROR "${ROOT}/CMakeLists.txt: no gtrain_room(…) found")
  endif()
  set(rooms "${rooms}" PARENT_SCOPE)
  set(problems "${problems}" PARENT_SCOPE)
endfunction()

function(check_include where room header)
  set(allowed ${room} ${depends_${room}})
  if(header MATCHES "^gtrain/([a-z_]+)/")
    if(NOT CMAKE_MATCH_1 IN_LIST allowed)
      refuse("${where}: ${header}: ${room} may include only ${allowed}")
    endif()
  elseif(header MATCHES "^([a-z_]+)/" AND CMAKE_MATCH_1 IN_LIST rooms)
    if(NOT CMAKE_MATCH_1 STREQUAL room)
      refuse("${where}: ${header}: a private header of another room")
    endif()
  else()
    foreach(party IN LISTS parties)
      if(header MATCHES "${headers_${party}}" AND NOT party IN_LIST uses_${room})
        refuse("${where}: ${header}: ${room} does not use ${party}")
      endif()
    endforeach()
  endif()
  set(problems "${problems}" PARENT_SCOPE)
endfunction()

function(check_file file room)
  file(RELATIVE_PATH name ${ROOT} ${file})
  file(STRINGS ${file} lines REGEX "^[ \t]*#[ \t]*include")
  foreach(line IN LISTS lines)
    if(line MATCHES "include[ \t]*[<\"]([^>\"]+)[>\"]")
      check_include("${name}" ${room} "${CMAKE_MATCH_1}")
    endif()
  endforeach()
  set(problems "${problems}" PARENT_SCOPE)
endfunction()

read_table()
set(count 0)
foreach(room IN LISTS rooms)
  file(GLOB_RECURSE files LIST_DIRECTORIES false
       ${ROOT}/include/gtrain/${room}/* ${ROOT}/src/${room}/*)
  list(FILTER files INCLUDE REGEX "\\.(h|cpp|cu|cuh)$")
  foreach(file IN LISTS files)
    check_file(${file} ${room})
    math(EXPR count "${count} + 1")
  endforeach()
endforeach()

# A folder without a row in the table would escape every check above.
foreach(parent include/gtrain src)
  file(GLOB folders LIST_DIRECTORIES true RELATIVE ${ROOT}/${parent} ${ROOT}/${parent}/*)
  foreach(folder IN LISTS folders)
    file(GLOB_RECURSE files ${ROOT}/${parent}/${folder}/*)
    if(IS_DIRECTORY ${ROOT}/${parent}/${folder} AND files AND NOT folder IN_LIST rooms)
      refuse("${parent}/${folder}: no gtrain_room(${folder} …) in CMakeLists.txt")
    endif()
  endforeach()
endforeach()

if(problems)
  message(FATAL_ERROR "the room table does not allow:\n${problems}")
endif()
message(STATUS "layers: ${count} files keep to the room table")
