import coopery.Step

/** Joins the images that parallel jobs built for one platform each; the arguments are told in cooperyMerge.txt. */
Map call(Map arguments = [:]) {
    return new Step(this).run('merge', arguments)
}
