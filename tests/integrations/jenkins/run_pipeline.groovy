// Runs a Jenkinsfile with this repository's shared library, compiled as Jenkins compiles pipelines, by
// JenkinsPipelineUnit. Its steps do what Jenkins' own do: `sh` runs a process on a workspace, `withCredentials` puts
// secrets into variables and files and masks them in the log. What was called is written down, as JSON.
//
//   groovy run_pipeline.groovy SCENARIO.json    (see Agent.run in jenkins_pipelines.py)

import static com.lesfurets.jenkins.unit.global.lib.LibraryConfiguration.library
import static com.lesfurets.jenkins.unit.global.lib.LocalSource.localSource

import com.lesfurets.jenkins.unit.cps.BasePipelineTestCPS
import groovy.json.JsonOutput
import groovy.json.JsonSlurperClassic

class Aborted extends Exception { // as hudson.AbortException: a message and no more

    Aborted(String message) {
        super(message)
    }

}

class Agent extends BasePipelineTestCPS {

    Map scenario
    File workspace
    File temporary
    List<Map> calls = []
    Map archived = [:]
    Map<String, String> environment = [:]
    List<String> masked = []
    File current
    Object returned = null
    String result = 'SUCCESS'

    Agent(Map scenario) {
        this.scenario = scenario
        workspace = new File(scenario.workspace)
        temporary = new File(scenario.workspace + '@tmp')
        current = workspace
        environment.putAll(scenario.environ)
    }

    // ------------------------------------------------------------------ running

    void run() {
        helper.scriptRoots = [new File(scenario.jenkinsfile).parent] as String[]
        helper.scriptExtension = ''
        helper.baseScriptRoot = '/'
        setUp()
        helper.libLoader.libRecords.clear()
        helper.registerSharedLibrary(library().name('coopery').defaultVersion('main').allowOverride(true)
            .implicit(true).targetPath(scenario.libraries).retriever(localSource(scenario.libraries)).build())
        registerSteps()
        binding.setVariable('currentBuild', new Build(causes: scenario.causes))
        binding.setVariable('env', new Env(agent: this))
        binding.setVariable('scm', [:])
        binding.setVariable('any', 'any')
        binding.setVariable('none', 'none')
        Throwable thrown = null
        try {
            runScript(new File(scenario.jenkinsfile).name)
        } catch (Throwable error) {
            thrown = error
            while (thrown.cause && !(thrown instanceof Aborted)) {
                thrown = thrown.cause
            }
            result = 'FAILURE'
            println 'ERROR: ' + mask(thrown.toString())
            if (!(thrown instanceof Aborted)) {
                error.printStackTrace(System.out)
            }
        }
        new File(scenario.outcome).text = JsonOutput.toJson([
            result: result, error: thrown?.message, aborted: thrown instanceof Aborted, returned: returned, calls: calls,
            archived: archived, left: left(),
        ])
        System.out.flush()
        System.exit(0)
    }

    List<String> left() {
        List<String> found = []
        for (File top : [workspace, temporary]) {
            if (top.exists()) {
                top.eachFileRecurse { found.add(it.path) }
            }
        }
        return found
    }

    // ------------------------------------------------------------------ steps

    void step(String name, List<Class> types, Closure body) {
        helper.registerAllowedMethod(name, types) { Object... given ->
            calls.add([step: name, arguments: given.collect { it instanceof Closure ? '{…}' : it }])
            return body.maximumNumberOfParameters == 0 ? body() : body(*given)
        }
    }

    Object inside(Closure body) {
        return helper.callIfClosure(body, null)
    }

    void registerSteps() {
        // the controller's own
        for (String block : ['node', 'pipeline', 'stages', 'steps', 'script', 'post', 'always', 'options', 'timestamps']) {
            step(block, [Closure]) { Closure body -> inside(body) }
        }
        for (String block : ['node', 'stage', 'container']) {
            step(block, [String, Closure]) { String name, Closure body -> inside(body) }
        }
        step('agent', [Object]) { Object agent -> null }
        step('agent', [Closure]) { Closure agent -> null }
        step('isUnix', []) { true }
        step('echo', [String]) { String text -> println(mask(text)) }
        step('error', [String]) { String text -> throw new Aborted(text) }
        step('give', [Object]) { Object value -> returned = value }
        step('libraryResource', [String]) { String name ->
            new File(scenario.libraries + '/coopery@main/resources/' + name).text
        }
        step('withEnv', [List, Closure]) { List pairs, Closure body ->
            Map before = new LinkedHashMap(environment)
            try {
                for (Object pair : pairs) {
                    int equals = pair.toString().indexOf('=')
                    environment.put(pair.toString().substring(0, equals), pair.toString().substring(equals + 1))
                }
                return inside(body)
            } finally {
                environment = before
            }
        }
        step('withCredentials', [List, Closure]) { List bindings, Closure body -> withCredentials(bindings, body) }
        for (String kind : ['string', 'file', 'usernamePassword', 'usernameColonPassword', 'sshUserPrivateKey',
                            'certificate', 'zip']) {
            String symbol = kind
            helper.registerAllowedMethod(symbol, [Map]) { Map arguments -> [symbol: symbol] + arguments }
        }
        // the agent's
        step('sh', [String]) { String text -> sh([script: text]) }
        step('sh', [Map]) { Map arguments -> sh(arguments) }
        step('pwd', [Map]) { Map arguments -> arguments.tmp ? temporary.path : current.path }
        step('dir', [String, Closure]) { String path, Closure body ->
            File before = current
            current = path.startsWith('/') ? new File(path) : new File(before, path)
            try {
                return inside(body)
            } finally {
                current = before
            }
        }
        step('deleteDir', []) { current.deleteDir() }
        step('fileExists', [String]) { String path -> at(path).exists() }
        step('readFile', [Map]) { Map arguments -> at(arguments.file).getText('UTF-8') }
        step('writeFile', [Map]) { Map arguments ->
            at(arguments.file).parentFile.mkdirs()
            at(arguments.file).setText(arguments.text, 'UTF-8')
        }
        step('archiveArtifacts', [Map]) { Map arguments ->
            current.eachFileRecurse { File file ->
                String name = file.path - (current.path + '/')
                if (file.file && name.startsWith(arguments.artifacts - '*')) {
                    archived.put(name, file.text)
                }
            }
        }
        // those of plugins
        optional('publishChecks') { Map arguments -> null }
        optional('recordIssues') { Map arguments ->
            arguments.tools.each { Map tool -> archived.put('issues', at(tool.pattern).text) }
        }
        optional('sarif') { Map arguments -> arguments }
    }

    void optional(String name, Closure body) {
        step(name, [Map]) { Map arguments ->
            if (!scenario.plugins.contains(name)) { // as DSL.invokeMethod of workflow-cps-plugin
                throw new NoSuchMethodError("No such DSL method '" + name + "' found among steps [echo, sh]")
            }
            return body(arguments)
        }
    }

    File at(String path) {
        return path.startsWith('/') ? new File(path) : new File(current, path)
    }

    // ------------------------------------------------------------------ sh

    /** As BourneShellScript of durable-task-plugin: a script with a first line of its own is run by it, else by sh -xe. */
    Object sh(Map arguments) {
        File control = new File(temporary, 'durable-' + UUID.randomUUID().toString().take(8))
        control.mkdirs()
        File script = new File(control, 'script.sh')
        script.text = arguments.script
        script.setExecutable(true)
        List<String> command = arguments.script.startsWith('#!') ? [script.path] : ['sh', '-xe', script.path]
        ProcessBuilder builder = new ProcessBuilder(command).directory(current).redirectErrorStream(true)
        builder.environment().clear()
        builder.environment().putAll(environment)
        Process process = builder.start()
        process.outputStream.close()
        calls.last().put('variables', environment.keySet().toList())
        if (scenario.abort) { // what the controller does when somebody stops the job, once the step has got somewhere
            Thread.start {
                File marker = new File(scenario.abort)
                while (!marker.exists() && process.alive) {
                    Thread.sleep(20)
                }
                process.destroy()
            }
        }
        StringBuilder taken = new StringBuilder()
        process.inputStream.eachLine('UTF-8') { String line ->
            arguments.returnStdout ? taken.append(line).append('\n') : println(mask(line))
        }
        int status = process.waitFor()
        control.deleteDir()
        if (scenario.abort) {
            throw new Aborted('Queue task was cancelled')
        }
        if (arguments.returnStdout) {
            return taken.toString()
        }
        if (arguments.returnStatus) {
            return status
        }
        if (status != 0) {
            throw new Aborted('script returned exit code ' + status)
        }
        return null
    }

    // ------------------------------------------------------------------ credentials

    /** As BindingStep of credentials-binding-plugin: variables, files below secretFiles, masks for the log. */
    Object withCredentials(List bindings, Closure body) {
        Map<String, String> before = new LinkedHashMap(environment)
        List<String> maskedBefore = new ArrayList(masked)
        File files = new File(temporary, 'secretFiles/' + UUID.randomUUID())
        try {
            for (Map binding : bindings) {
                bind(binding, files)
            }
            return inside(body)
        } finally {
            files.deleteDir()
            environment = before
            masked = maskedBefore
        }
    }

    void bind(Map binding, File files) {
        String kind = binding.symbol ?: binding.get('$class')
        Map credential = scenario.credentials[binding.credentialsId]
        if (credential == null || !(kind in [credential.kind, credential.also])) {
            throw new Aborted("Could not find credentials entry with ID '" + binding.credentialsId + "'")
        }
        switch (kind) {
            case 'string':
                set(binding.variable, credential.value, true)
                break
            case 'file':
                set(binding.variable, secretFile(files, credential.name, credential.value), true)
                break
            case 'usernamePassword':
                set(binding.usernameVariable, credential.username, false)
                set(binding.passwordVariable, credential.password, true)
                break
            case 'usernameColonPassword':
                set(binding.variable, credential.username + ':' + credential.password, true)
                break
            case 'sshUserPrivateKey':
                set(binding.keyFileVariable, secretFile(files, 'ssh-key-' + binding.keyFileVariable, credential.value), true)
                set(binding.usernameVariable, credential.username, false)
                set(binding.passphraseVariable, credential.passphrase ?: '', true)
                break
            case 'certificate':
                set(binding.keystoreVariable, secretFile(files, 'keystore-' + binding.keystoreVariable, credential.value), true)
                set(binding.aliasVariable, credential.alias, false)
                set(binding.passwordVariable, credential.password, true)
                break
            case 'zip':
                File folder = new File(files, 'unpacked')
                credential.files.each { String name, String text -> secretFile(folder, name, text) }
                set(binding.variable, folder.path, true)
                break
            case 'AmazonWebServicesCredentialsBinding':
                set(binding.accessKeyVariable, credential.access, true)
                set(binding.secretKeyVariable, credential.secret, true)
                break
            default:
                throw new IllegalStateException(kind)
        }
    }

    void set(String variable, String value, boolean secret) {
        environment.put(variable, value)
        if (secret && value) {
            masked.add(value)
        }
    }

    String secretFile(File folder, String name, String text) {
        File file = new File(folder, name)
        file.parentFile.mkdirs()
        file.text = text
        return file.path
    }

    String mask(String line) {
        String shown = line
        for (String secret : masked.toSorted { -it.length() }) {
            shown = shown.replace(secret, '****')
        }
        return shown
    }

}

class Build implements Serializable {

    List<String> causes = []
    String result

    List getBuildCauses() {
        return causes.collect { [_class: it, shortDescription: 'whatever'] }
    }

}

class Env implements Serializable {

    transient Agent agent

    Object getProperty(String name) {
        return agent.environment[name]
    }

}

new Agent(new JsonSlurperClassic().parse(new File(args[0]))).run()
