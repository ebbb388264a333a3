// Runs the library's classes as the script sandbox of Jenkins would see them, and prints every call that it would be
// asked about: those on objects that aren't the library's own.
//
//   groovy sandbox_calls.groovy LIBRARY

import org.codehaus.groovy.control.CompilerConfiguration
import org.kohsuke.groovy.sandbox.GroovyInterceptor
import org.kohsuke.groovy.sandbox.SandboxTransformer

class Recorder extends GroovyInterceptor {

    Set<String> seen = new TreeSet()

    void note(Object receiver, String kind, String what) {
        Class type = receiver instanceof Class ? receiver : receiver?.class
        if (type != null && !type.name.startsWith('coopery.') && type != Steps && !type.name.contains('$_')) {
            String name = Map.isAssignableFrom(type) ? 'Map' : List.isAssignableFrom(type) ? 'List'
                : Map.Entry.isAssignableFrom(type) ? 'Map.Entry' : type.simpleName
            seen.add(kind + ' ' + name + ' ' + what)
        }
    }

    @Override
    Object onMethodCall(GroovyInterceptor.Invoker invoker, Object receiver, String method, Object... args) {
        note(receiver, 'method', method)
        return invoker.call(receiver, method, args)
    }

    @Override
    Object onStaticCall(GroovyInterceptor.Invoker invoker, Class receiver, String method, Object... args) {
        note(receiver, 'static', method)
        return invoker.call(receiver, method, args)
    }

    @Override
    Object onNewInstance(GroovyInterceptor.Invoker invoker, Class receiver, Object... args) {
        note(receiver, 'new', '')
        return invoker.call(receiver, null, args)
    }

    @Override
    Object onGetProperty(GroovyInterceptor.Invoker invoker, Object receiver, String property) {
        note(receiver, 'property', receiver instanceof Map ? '' : property)
        return invoker.call(receiver, property)
    }

    @Override
    Object onSetProperty(GroovyInterceptor.Invoker invoker, Object receiver, String property, Object value) {
        note(receiver, 'set', property)
        return invoker.call(receiver, property, value)
    }

    @Override
    Object onGetAttribute(GroovyInterceptor.Invoker invoker, Object receiver, String attribute) {
        note(receiver, 'attribute', attribute)
        return invoker.call(receiver, attribute)
    }

    @Override
    Object onSetAttribute(GroovyInterceptor.Invoker invoker, Object receiver, String attribute, Object value) {
        note(receiver, 'attribute', attribute)
        return invoker.call(receiver, attribute, value)
    }

    @Override
    Object onGetArray(GroovyInterceptor.Invoker invoker, Object receiver, Object index) {
        note(receiver, 'index', '')
        return invoker.call(receiver, null, index)
    }

    @Override
    Object onSetArray(GroovyInterceptor.Invoker invoker, Object receiver, Object index, Object value) {
        note(receiver, 'index', '')
        return invoker.call(receiver, null, index, value)
    }

}

class Causes {

    List getBuildCauses() {
        return [[_class: 'x']]
    }

}

/** What the library calls of a pipeline. */
class Steps {

    Map env = [CHANGE_ID: '7', CHANGE_FORK: 'mallory']
    Causes currentBuild = new Causes()

    Object invokeMethod(String name, Object args) {
        Object last = args ? args.last() : null
        switch (name) {
            case 'isUnix':
            case 'fileExists':
                return true
            case 'pwd':
                return '/tmp'
            case 'readFile':
                return '{"error": {"message": "x"}, "list": [1, {"a": null}], "title": "t", "summary": "s"}'
            case 'sh':
                return 3
            case 'error':
                throw new IllegalStateException(last.toString())
            case 'publishChecks':
                throw new NoSuchMethodError("No such DSL method 'publishChecks' found among steps []")
            default:
                return last instanceof Closure ? last.call() : [:]
        }
    }

}

CompilerConfiguration configuration = new CompilerConfiguration()
configuration.addCompilationCustomizers(new SandboxTransformer())
GroovyClassLoader loader = new GroovyClassLoader(this.class.classLoader, configuration)
loader.addClasspath(args[0] + '/src')
Class step = loader.loadClass('coopery.Step', true, false)
Recorder recorder = new Recorder()
recorder.register()
try {
    for (Map arguments : [
        [image: 'x', container: 'c', registries: ['a.example': 'id', 'b.example': [mirror: 'm']], secrets: [n: 'id']],
        [registries: [[host: 'a', type: 'string', username: 'u', credentialsId: 'i'], [type: 'file', credentialsId: 'f'],
                      [host: 'e', type: 'aws', roleArn: 'r', credentialsId: 'i']], install: false, name: 'web'],
        [secrets: [n: [env: 'N'], z: [type: 'zip', credentialsId: 'i']], identityTokens: [aud: 'id']],
        [secrets: [n: [type: 'x', credentialsId: 'i']]],
    ]) {
        for (String fork : ['mallory', null]) {
            try {
                Steps steps = new Steps()
                steps.env.CHANGE_FORK = fork
                steps.env.CHANGE_BRANCH = 'b'
                if (fork == null) {
                    steps.env.CHANGE_ID = null
                    steps.env.ghprbPullId = '7'
                }
                step.newInstance(steps).run('build', arguments)
            } catch (IllegalStateException expected) {
                continue
            }
        }
    }
} finally {
    recorder.unregister()
}
recorder.seen.each { println it }
