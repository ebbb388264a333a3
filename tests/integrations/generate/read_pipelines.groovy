// Reads Jenkinsfiles: compiles each as Jenkins does and runs it with steps that do nothing but take their blocks. What
// the steps of the library are called with is printed as JSON, with what the library's own class makes of it.
//
//   groovy read_pipelines.groovy Arguments.groovy FOLDER

import groovy.json.JsonOutput
import org.codehaus.groovy.control.CompilerConfiguration
import org.codehaus.groovy.control.customizers.ImportCustomizer

abstract class Pipeline extends Script {

    static List taken
    static Class library

    Object methodMissing(String name, Object given) {
        List arguments = given as List
        if (name.startsWith('cooperyBuild') || name.startsWith('cooperyMerge')) {
            Map wanted = arguments ? arguments.first() : [:]
            Object understood = library.of(wanted, true)
            taken.add([step: name, arguments: wanted, fault: understood.fault, settings: understood.settings,
                       own: understood.own, bound: understood.bound])
            return null
        }
        arguments.findAll { it instanceof Closure }.each { Closure block ->
            block.delegate = this
            block.resolveStrategy = Closure.DELEGATE_FIRST
            block()
        }
        return null
    }

    Object propertyMissing(String name) {
        return name == 'ARCH' ? 'amd64' : name
    }

}

ImportCustomizer imports = new ImportCustomizer()
imports.addImport('Library', 'com.lesfurets.jenkins.unit.global.lib.Library')
CompilerConfiguration configuration = new CompilerConfiguration(scriptBaseClass: Pipeline.name)
configuration.addCompilationCustomizers(imports)
GroovyShell shell = new GroovyShell(Pipeline.classLoader, new Binding(), configuration)
Pipeline.library = new GroovyClassLoader().parseClass(new File(args[0]))
Map found = [:]
new File(args[1]).eachFileMatch(~/.*\.groovy/) { File file ->
    Pipeline.taken = []
    shell.parse(file.text).run()
    found.put(file.name, Pipeline.taken)
}
println JsonOutput.toJson(found)
