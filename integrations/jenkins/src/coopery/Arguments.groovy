package coopery

import com.cloudbees.groovy.cps.NonCPS
import groovy.json.JsonOutput
import groovy.json.JsonSlurper

/**
 * What the arguments of a step mean: which credentials are to be bound to which variables, what the program is told,
 * and what the step does itself. No values of credentials pass through here, only their ids and names of variables.
 */
class Arguments implements Serializable {

    private static final long serialVersionUID = 1L

    /** Variables of each kind of binding, by the part of the credential that they get. */
    private static final Map<String, List<String>> PARTS = [
        string: ['value'],
        file: ['file'],
        usernamePassword: ['username', 'password'],
        usernameColonPassword: ['value'],
        sshUserPrivateKey: ['file', 'username', 'passphrase'],
        certificate: ['file', 'alias', 'password'],
        zip: ['directory'],
        aws: [],
    ]
    private static final Map<String, List<String>> KINDS = [
        registry: ['usernamePassword', 'usernameColonPassword', 'string', 'file', 'aws'],
        secret: ['string', 'file', 'usernamePassword', 'usernameColonPassword', 'sshUserPrivateKey', 'certificate',
                 'zip'],
        identity: ['string', 'file'],
    ]
    /** Arguments that the step acts upon itself; all others are keys of coopery.yaml. */
    private static final List<String> OWN = [
        'archive', 'checks', 'commit', 'container', 'defaultBranch', 'dryRun', 'identityTokens', 'install', 'issues',
        'name',
    ]

    /** Settings for the program, as it gets them. */
    Map settings = [:]
    /** Arguments of the step's own. */
    Map own = [:]
    /** Credentials to bind: [kind, credentialsId, variables, …]. */
    List<Map> bindings = []
    /** What they are for, for the program. */
    List<Map> bound = []
    /** Ids of secrets that are kept from a change that anybody may have made. */
    List<String> withheld = []
    /** Whether steps of the build may see secrets. */
    boolean trusted = true
    /** What is wrong with the arguments; empty if nothing is. */
    String fault = ''

    @NonCPS
    static Arguments of(Map given, boolean trusted) {
        Arguments made = new Arguments()
        made.trusted = trusted
        for (Map.Entry entry : given.entrySet()) {
            String name = entry.key
            if (OWN.contains(name)) {
                made.own.put(name, entry.value)
            } else if (name == 'registries') {
                made.registries(entry.value)
            } else if (name == 'secrets' && entry.value instanceof Map) {
                made.secrets((Map) entry.value)
            } else {
                made.settings.put(name, entry.value)
            }
        }
        Object tokens = made.own.get('identityTokens')
        if (tokens instanceof Map) {
            for (Map.Entry entry : ((Map) tokens).entrySet()) {
                made.bind('identity', entry.key.toString(), entry.value, 'string')
            }
        } else if (tokens != null) {
            made.fault = "identityTokens is a map: ['AUDIENCE': 'CREDENTIALS_ID']"
        }
        String label = made.own.get('name') ?: ''
        if (!label.matches('[A-Za-z0-9_.-]{0,60}')) {
            made.fault = 'name takes letters, digits, ".", "_" and "-"'
        }
        return made
    }

    /** The classes of a build's causes. */
    @NonCPS
    static List<String> causes(List given) {
        List<String> names = []
        for (Object cause : given) {
            names.add(((Map) cause).get('_class').toString())
        }
        return names
    }

    /** JSON without characters that any shell or variable expansion on its way could take for its own. */
    @NonCPS
    static String json(Map value) {
        return JsonOutput.toJson(value).replace('$', '\\u0024').replace('\'', '\\u0027').replace('`', '\\u0060')
    }

    /** What JSON says, in maps and lists that survive a restart of the controller. */
    @NonCPS
    static Map parse(String text) {
        return (Map) plain(new JsonSlurper().parseText(text))
    }

    @NonCPS
    private static Object plain(Object value) {
        if (value instanceof Map) {
            Map copy = [:]
            for (Map.Entry entry : ((Map) value).entrySet()) {
                copy.put(entry.key.toString(), plain(entry.value))
            }
            return copy
        }
        if (value instanceof List) {
            List copy = []
            for (Object each : (List) value) {
                copy.add(plain(each))
            }
            return copy
        }
        return value
    }

    @NonCPS
    private void registries(Object given) {
        Map rest = [:]
        List entries = []
        if (given instanceof Map) {
            for (Map.Entry entry : ((Map) given).entrySet()) {
                Map fields = entry.value instanceof Map ? (Map) entry.value : [credentialsId: entry.value]
                Map named = [host: entry.key.toString()]
                named.putAll(fields)
                entries.add(named)
            }
        } else if (given instanceof List) {
            entries.addAll((List) given)
        } else {
            fault = "registries is a list: [[host: 'ghcr.io', credentialsId: 'ID']]"
        }
        for (Object each : entries) {
            Map entry = each instanceof Map ? (Map) each : [:]
            String host = entry.get('host') ?: ''
            if (!host && entry.get('type') != 'file') { // a config.json says itself what it is for
                fault = "an entry of registries has no host: write [host: 'ghcr.io', credentialsId: 'ID']"
                return
            }
            Map others = [:]
            others.putAll(entry)
            others.remove('host')
            if (entry.containsKey('credentialsId')) {
                bind('registry', host, entry, 'usernamePassword')
                for (String field : ['credentialsId', 'type', 'username', 'roleArn', 'roleSessionName']) {
                    others.remove(field)
                }
            }
            if (host && others) {
                rest.put(host, others)
            }
        }
        if (rest) {
            settings.put('registries', rest)
        }
    }

    @NonCPS
    private void secrets(Map given) {
        Map rest = [:]
        for (Map.Entry entry : given.entrySet()) {
            boolean elsewhere = entry.value instanceof Map && !((Map) entry.value).containsKey('credentialsId')
            if (elsewhere) { // [env: …] or [file: …], as in coopery.yaml
                rest.put(entry.key.toString(), entry.value)
            } else if (!trusted) {
                withheld.add(entry.key.toString())
            } else {
                bind('secret', entry.key.toString(), entry.value, 'string')
            }
        }
        if (rest) {
            settings.put('secrets', rest)
        }
    }

    @NonCPS
    private void bind(String purpose, String name, Object given, String usual) {
        Map entry = given instanceof Map ? (Map) given : [credentialsId: given]
        String kind = entry.get('type') ?: usual
        String id = entry.get('credentialsId') ?: ''
        if (!KINDS.get(purpose).contains(kind)) {
            fault = "${purpose} ${name} can't use a credential of type ${kind}, but of " + KINDS.get(purpose).join(', ')
            return
        }
        if (!id) {
            fault = "${purpose} ${name} has no credentialsId"
            return
        }
        if (purpose == 'registry' && kind == 'string' && !entry.get('username')) {
            fault = "registry ${name}: a credential of type string is a token alone, so add username: 'NAME'"
            return
        }
        Map variables = [:]
        for (String part : PARTS.get(kind)) {
            variables.put(part, "COOPERY_BOUND_${bindings.size()}_${part.toUpperCase()}".toString())
        }
        Map binding = [kind: kind, credentialsId: id, variables: variables]
        if (purpose == 'registry' && kind == 'file') {
            variables.put('file', 'REGISTRY_AUTH_FILE') // a config.json, for which the program knows the variable
        }
        for (String field : ['roleArn', 'roleSessionName']) {
            if (entry.get(field)) {
                binding.put(field, entry.get(field).toString())
            }
        }
        for (Map other : bindings) { // these kinds have variables that can't be chosen
            if (other.get('kind') == kind && other.get('variables') == variables && other != binding) {
                fault = "registry ${name}: only one credential of type ${kind} can be bound in one step; take two"
                return
            }
        }
        bindings.add(binding)
        Map told = [purpose: purpose, name: name, kind: kind, credential: id, variables: variables]
        if (entry.get('username')) {
            told.put('username', entry.get('username').toString())
        }
        bound.add(told)
    }

}
