# sagitta_manuals(PROGRAMS name ... [DEPENDS file ...]): what each program prints for --manual FORM becomes a file, in the
# build tree's share/ as in an installed one: its page for man(1) and its completions for bash, zsh and fish.
# DEPENDS are files whose names or contents are in some --help.
function(sagitta_manuals)
  cmake_parse_arguments(arg "" "" "PROGRAMS;DEPENDS" ${ARGN})
  set(written "")
  foreach(program ${arg_PROGRAMS})
    foreach(place man:man/man1/${program}.1 bash:bash-completion/completions/${program}
            zsh:zsh/site-functions/_${program} fish:fish/vendor_completions.d/${program}.fish)
      string(REGEX MATCH "^([a-z]+):(.*)/" matched ${place})
      set(form ${CMAKE_MATCH_1})
      set(folder ${CMAKE_MATCH_2})
      string(REPLACE "${matched}" "" name ${place})
      set(file ${PROJECT_BINARY_DIR}/share/${folder}/${name})
      file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/share/${folder})
      add_custom_command(OUTPUT ${file} COMMAND ${program} --manual ${form} > ${file}
                         DEPENDS ${program} ${arg_DEPENDS} VERBATIM)
      install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/${folder})
      list(APPEND written ${file})
    endforeach()
  endforeach()
  add_custom_target(manuals ALL DEPENDS ${written})
endfunction()
