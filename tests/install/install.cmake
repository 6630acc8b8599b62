# An installed and moved gtrain, and the examples of docs/examples built against it.
if(TARGET gtrain AND NOT GTRAIN_SANITIZE)
  foreach(name prefix example_cpp example_library example_model packages)
    add_test(NAME install.${name}
      COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DGENERATOR=${CMAKE_GENERATOR}
              -DWORK=${PROJECT_BINARY_DIR}/install-test -DTORCH=${TORCH_INSTALL_PREFIX}
              -P ${PROJECT_SOURCE_DIR}/tests/install/${name}.cmake)
    set_tests_properties(install.${name} PROPERTIES LABELS slow TIMEOUT 1200)
    if(name STREQUAL "prefix")
      set_tests_properties(install.${name} PROPERTIES FIXTURES_SETUP installed)
    else()
      set_tests_properties(install.${name} PROPERTIES FIXTURES_REQUIRED installed)
    endif()
  endforeach()
  # It runs the other's program, too.
  set_tests_properties(install.example_model PROPERTIES DEPENDS install.example_cpp)
  add_test(NAME install.clean
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${PROJECT_BINARY_DIR}/install-test)
  set_tests_properties(install.clean PROPERTIES LABELS slow FIXTURES_CLEANUP installed)
  # The interpreter of the converters' tests may have ogb and rdkit (GTRAIN_PYTHON).
  find_program(gtrain_python NAMES $ENV{GTRAIN_PYTHON} python3)
  if(gtrain_python)
    add_test(NAME install.example_python
      COMMAND ${gtrain_python} -B -W ignore ${PROJECT_SOURCE_DIR}/tests/install/example_python.py
              ${PROJECT_BINARY_DIR}/install-test)
    set_tests_properties(install.example_python PROPERTIES
      LABELS slow TIMEOUT 300 FIXTURES_REQUIRED installed SKIP_RETURN_CODE 77)
  endif()
  find_program(gtrain_dpkg dpkg-shlibdeps)
  if(NOT gtrain_dpkg)
    set_tests_properties(install.packages PROPERTIES DISABLED ON)
  endif()
endif()
