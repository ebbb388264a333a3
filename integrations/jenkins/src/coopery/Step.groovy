package coopery

/**
 * Runs Coopery on the agent that the calling script is on: binds the credentials that the arguments name, tells the
 * program what it needs to know in variables, and hands what it did to Jenkins.
 */
class Step implements Serializable {

    private static final long serialVersionUID = 1L

    private final Object script

    Step(Object script) {
        this.script = script
    }

    /**
     * @param command build or merge
     * @return what the program did: digest, imageId, tags, version, pushed, metadata, images and so on
     */
    Map run(String command, Map given) {
        if (!script.isUnix()) {
            script.error('Coopery needs an agent with Linux.')
        }
        Arguments arguments = Arguments.of(given, !foreign())
        if (arguments.fault) {
            script.error('Coopery: ' + arguments.fault)
        }
        if (arguments.withheld) {
            script.echo('Coopery: this change comes from elsewhere, so its steps get no secrets: '
                + arguments.withheld.join(', '))
        }
        Map own = arguments.own
        String label = own.name ?: 'coopery'
        String reports = script.pwd(tmp: true) + '/coopery-' + UUID.randomUUID()
        List<String> variables = [
            'COOPERY_CI=jenkins',
            'COOPERY_COMMAND=' + command,
            'COOPERY_DRY_RUN=' + (own.dryRun ? 'true' : ''),
            'COOPERY_INSTALL=' + (own.install ?: ''),
            'COOPERY_REPORTS=' + reports + '/' + label,
            'COOPERY_INPUTS=' + Arguments.json(arguments.settings),
            'COOPERY_JENKINS=' + Arguments.json(facts(arguments)),
        ]
        Map result = [:]
        try {
            int status = within(own.container, bindings(arguments.bindings), variables)
            String written = reports + '/' + label + '/result.json'
            if (script.fileExists(written)) {
                result = Arguments.parse(script.readFile(file: written, encoding: 'UTF-8'))
            }
            publish(result, reports, label, own)
            if (status != 0) {
                script.error(result.error ? 'Coopery: ' + result.error.message
                    : 'Coopery ended with status ' + status + '; the log says why.')
            }
        } finally {
            script.dir(reports) {
                script.deleteDir()
            }
        }
        return result
    }

    /**
     * Whether a change is built that may be anybody's, as the program judges it too. Whoever changes a Dockerfile can
     * have its steps tell secrets to anybody; logins are for Coopery alone.
     */
    private boolean foreign() {
        Object env = script.env
        if (env.CHANGE_ID) {
            return env.CHANGE_FORK || !env.CHANGE_BRANCH
        }
        if (env.ghprbPullId) {
            String target = '/' + (env.ghprbGhRepository ?: '?') + '.git'
            return !(env.ghprbAuthorRepoGitUrl ?: '').toLowerCase().endsWith(target.toLowerCase())
        }
        if (env.gitlabMergeRequestIid) {
            return !env.gitlabSourceRepoHttpUrl || env.gitlabSourceRepoHttpUrl != env.gitlabTargetRepoHttpUrl
        }
        return false
    }

    private int within(Object container, List bindings, List<String> variables) {
        if (container) {
            return script.container(container) { bound(bindings, variables) }
        }
        return bound(bindings, variables)
    }

    private int bound(List bindings, List<String> variables) {
        if (bindings) {
            return script.withCredentials(bindings) { execute(variables) }
        }
        return execute(variables)
    }

    private int execute(List<String> variables) {
        String program = script.libraryResource('coopery/run.sh')
        return script.withEnv(variables) { script.sh(script: program, label: 'Coopery', returnStatus: true) }
    }

    private Map facts(Arguments arguments) {
        return [
            causes: Arguments.causes(script.currentBuild.getBuildCauses()),
            'default-branch': arguments.own.defaultBranch ?: '',
            commit: arguments.own.commit ?: '',
            bound: arguments.bound,
        ]
    }

    private List bindings(List<Map> wanted) {
        List made = []
        for (int index = 0; index < wanted.size(); index++) { // an iterator could not survive a restart
            made.add(binding(wanted.get(index)))
        }
        return made
    }

    private Object binding(Map wanted) {
        String id = wanted.credentialsId
        Map variables = wanted.variables
        switch (wanted.kind) {
            case 'string':
                return script.string(credentialsId: id, variable: variables.value)
            case 'file':
                return script.file(credentialsId: id, variable: variables.file)
            case 'usernamePassword':
                return script.usernamePassword(credentialsId: id, usernameVariable: variables.username,
                    passwordVariable: variables.password)
            case 'usernameColonPassword':
                return script.usernameColonPassword(credentialsId: id, variable: variables.value)
            case 'sshUserPrivateKey':
                return script.sshUserPrivateKey(credentialsId: id, keyFileVariable: variables.file,
                    usernameVariable: variables.username, passphraseVariable: variables.passphrase)
            case 'certificate':
                return script.certificate(credentialsId: id, keystoreVariable: variables.file,
                    aliasVariable: variables.alias, passwordVariable: variables.password)
            case 'zip':
                return script.zip(credentialsId: id, variable: variables.directory)
            default: // of the plugin aws-credentials
                Map aws = [$class: 'AmazonWebServicesCredentialsBinding', credentialsId: id,
                    accessKeyVariable: 'AWS_ACCESS_KEY_ID', secretKeyVariable: 'AWS_SECRET_ACCESS_KEY']
                if (wanted.roleArn) {
                    aws.put('roleArn', wanted.roleArn)
                    aws.put('roleSessionName', wanted.roleSessionName ?: 'coopery')
                }
                return aws
        }
    }

    /** Shows the report in what Jenkins and its plugins have for it. */
    private void publish(Map result, String reports, String label, Map own) {
        if (!result) {
            return
        }
        if (own.archive != false) {
            script.dir(reports) {
                script.archiveArtifacts(artifacts: label + '/report.*', allowEmptyArchive: true)
            }
        }
        if (own.issues != false) {
            optional('recordIssues') { recordIssues(reports, label) }
        }
        if (own.checks != false) {
            optional('publishChecks') {
                script.publishChecks(name: label == 'coopery' ? 'Coopery' : 'Coopery / ' + label, title: result.title,
                    summary: result.title, text: result.summary, conclusion: result.error ? 'FAILURE' : 'SUCCESS')
            }
        }
    }

    /** The plugin resolves the files' names as seen from where it finds the log: in the workspace, for a moment. */
    private void recordIssues(String reports, String label) {
        String findings = script.readFile(file: reports + '/' + label + '/findings.sarif', encoding: 'UTF-8')
        String folder = '.coopery-' + UUID.randomUUID()
        try {
            script.writeFile(file: folder + '/findings.sarif', text: findings, encoding: 'UTF-8')
            script.recordIssues(enabledForFailure: true, tools: [
                script.sarif(pattern: folder + '/findings.sarif', id: label, name: 'Coopery'),
            ])
        } finally {
            script.dir(folder) {
                script.deleteDir()
            }
        }
    }

    /** Runs `body` unless the controller lacks the plugin that brings the step `name`. */
    private void optional(String name, Closure body) {
        try {
            body()
        } catch (NoSuchMethodError missing) {
            if (!missing.message?.contains("No such DSL method '")) {
                throw missing
            }
            script.echo('Coopery: this Jenkins has no step ' + name + ', so the report is not shown there.')
        }
    }

}
