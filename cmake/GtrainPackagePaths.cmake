# Run by cpack over what it is about to pack (CPACK_PRE_BUILD_SCRIPTS): a package goes to machines that
# are not this one, so neither program nor CMake package may look into the folders of this one.

file(GLOB_RECURSE installed LIST_DIRECTORIES false ${CPACK_TEMPORARY_DIRECTORY}/*)
foreach(file IN LISTS installed)
  if(file MATCHES "/bin/gtrain$")
    file(RPATH_CHANGE FILE ${file} OLD_RPATH "$ORIGIN/../${CPACK_GTRAIN_LIBDIR}:${CPACK_GTRAIN_FOLDERS}"
         NEW_RPATH "$ORIGIN/../${CPACK_GTRAIN_LIBDIR}")
  elseif(file MATCHES "/libgtrain_[a-z]+\\.so$")
    file(RPATH_CHANGE FILE ${file} OLD_RPATH "$ORIGIN:${CPACK_GTRAIN_FOLDERS}" NEW_RPATH "$ORIGIN")
  elseif(file MATCHES "/gtrain-config\\.cmake$")
    file(READ ${file} text)
    string(REPLACE "${CPACK_GTRAIN_TORCH_DIR}" "" text "${text}")
    file(WRITE ${file} "${text}")
  endif()
endforeach()
