import coopery.Step

/** Builds and pushes images; the arguments are told in cooperyBuild.txt. */
Map call(Map arguments = [:]) {
    return new Step(this).run('build', arguments)
}
