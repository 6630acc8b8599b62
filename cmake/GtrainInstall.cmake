# cmake --install build/release --prefix P:
#   bin/gtrain                        the launcher, src/cli/launcher.cpp
#   lib/libgtrain_program.so          the program
#   lib/libgtrain_ops.so, *.a         the rooms
#   include/gtrain                    their headers
#   share/gtrain/{recipes,datasets}   what base/resource.h finds beside bin/
#   share/doc/gtrain, lib/cmake/gtrain
# The prefix may be moved. libtorch is not copied: program and package look for the one of the build
# first, GTRAIN_LIBTORCH names another (docs/install.md). `cpack` in the build tree makes an archive
# of it all, and Debian packages of the program (gtrain) and of what compiles against it (gtrain-dev).

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(gtrain_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gtrain)
set(gtrain_installed_rooms "")
foreach(room IN LISTS GTRAIN_ROOMS)
  if(TARGET gtrain_${room})
    list(APPEND gtrain_installed_rooms ${room})
    install(TARGETS gtrain_${room}
            ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
            LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT program)
  endif()
endforeach()

# cpack's stripping leaves archives alone, and debug information is most of them.
if(CMAKE_STRIP)
  install(CODE "
    if(CMAKE_INSTALL_DO_STRIP)
      file(GLOB archives \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/libgtrain_*.a\")
      execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-debug \${archives} COMMAND_ERROR_IS_FATAL ANY)
    endif()" COMPONENT development)
endif()

# Third parties that lie where the dynamic linker does not look by itself.
set(gtrain_foreign_folders ${TORCH_INSTALL_PREFIX}/lib)
foreach(library IN LISTS HDF5_C_LIBRARIES)
  get_filename_component(folder "${library}" DIRECTORY)
  if(IS_ABSOLUTE "${folder}" AND NOT folder MATCHES "^(/usr)?/lib")
    list(APPEND gtrain_foreign_folders ${folder})
  endif()
endforeach()
list(REMOVE_DUPLICATES gtrain_foreign_folders)
# Beside each other first.
set_target_properties(gtrain_ops gtrain_program PROPERTIES
  INSTALL_RPATH "$ORIGIN;${gtrain_foreign_folders}")
set_target_properties(gtrain PROPERTIES
  INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR};${gtrain_foreign_folders}")
install(TARGETS gtrain RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
install(TARGETS gtrain_program LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT program)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/gtrain DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        COMPONENT development)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/recipes ${PROJECT_SOURCE_DIR}/datasets
        DESTINATION ${CMAKE_INSTALL_DATADIR}/gtrain COMPONENT program)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}
        COMPONENT program)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
file(READ ${PROJECT_SOURCE_DIR}/LICENSE gtrain_licence)
file(READ ${PROJECT_SOURCE_DIR}/docs/third_party.md gtrain_third_party)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/package/copyright
     CONTENT "@gtrain_licence@\n@gtrain_third_party@" @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR}
        COMPONENT program)

# The package restates the room table, so that a consumer links what the table says.
set(gtrain_package_rows "")
foreach(room IN LISTS gtrain_installed_rooms)
  get_target_property(type gtrain_${room} TYPE)
  string(REPLACE "_LIBRARY" "" type ${type})
  set(depends ${GTRAIN_ROOM_${room}_DEPENDS})
  list(FILTER depends INCLUDE REGEX ".")
  string(REPLACE ";" " " depends "${depends}")
  string(REPLACE ";" " " uses "${GTRAIN_ROOM_${room}_USES}")
  string(APPEND gtrain_package_rows
    "gtrain_import(${room} ${type} $<TARGET_FILE_NAME:gtrain_${room}> DEPENDS ${depends} USES ${uses})\n")
endforeach()
string(REGEX MATCH "^[0-9]+\\.[0-9]+" gtrain_torch_release "${Torch_VERSION}")
set(gtrain_hdf5_names "")
set(gtrain_hdf5_folders "")
foreach(library IN LISTS HDF5_C_LIBRARIES)
  get_filename_component(name "${library}" NAME)
  get_filename_component(folder "${library}" DIRECTORY)
  list(APPEND gtrain_hdf5_names ${name})
  list(APPEND gtrain_hdf5_folders ${folder})
endforeach()
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/gtrain-config.cmake.in
  ${PROJECT_BINARY_DIR}/package/gtrain-config.cmake.rows
  INSTALL_DESTINATION ${gtrain_package_dir}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/package/gtrain-config.cmake
     INPUT ${PROJECT_BINARY_DIR}/package/gtrain-config.cmake.rows)
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/package/gtrain-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/gtrain-config.cmake
              ${PROJECT_BINARY_DIR}/package/gtrain-config-version.cmake
        DESTINATION ${gtrain_package_dir} COMPONENT development)

include(GtrainPackage)
