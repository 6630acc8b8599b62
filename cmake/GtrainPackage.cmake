# cpack, in the build tree: an archive of the whole prefix, and two Debian packages.

set(CPACK_GENERATOR TGZ DEB)
set(CPACK_PACKAGE_NAME gtrain)
set(CPACK_PACKAGE_VENDOR gtrain)
set(CPACK_PACKAGE_CONTACT "the gtrain authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Trains graph transformers from recipes")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_FILE_NAME gtrain-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program development)
set(CPACK_ARCHIVE_THREADS 2)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/GtrainPackagePaths.cmake)
set(CPACK_GTRAIN_LIBDIR ${CMAKE_INSTALL_LIBDIR})
string(REPLACE ";" ":" CPACK_GTRAIN_FOLDERS "${gtrain_foreign_folders}")
set(CPACK_GTRAIN_TORCH_DIR ${Torch_DIR})

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME gtrain)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME gtrain-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION
  "The program, its kernels, recipes and data set cards.\nNeeds libtorch ${Torch_VERSION}, which is no Debian package: see\n/usr/share/doc/gtrain/install.md.")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Headers, libraries and the CMake package of gtrain.")
# libtorch is in no package; dpkg-shlibdeps finds the others.
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS
  ${TORCH_INSTALL_PREFIX}/lib ${PROJECT_BINARY_DIR}/lib)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
  "gtrain (= ${PROJECT_VERSION}), g++ (>= 4:12), libboost-dev, libeigen3-dev, libhdf5-dev, libtbb-dev, libyaml-cpp-dev, nlohmann-json3-dev, zlib1g-dev")

include(CPack)
