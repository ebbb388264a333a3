// GitHub's own packages, for tests: `validate FILE...` prints what the language service says of actions and workflows,
// `evaluate` reads {templates, context} and prints the templates with their expressions evaluated.
import { readFileSync } from 'node:fs';
import { register } from 'node:module';
import { basename } from 'node:path';

// The packages import JSON in a way that bundlers know and Node doesn't.
const hook = `export async function load(url, context, next) {
  if (!url.endsWith('.json')) return next(url, context);
  const { readFileSync } = await import('node:fs');
  return { format: 'module', shortCircuit: true, source: 'export default ' + readFileSync(new URL(url), 'utf8') };
}`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);

const packages = process.env.COOPERY_NODE_CLIENTS;
const [mode, ...files] = process.argv.slice(2);

if (mode === 'validate') {
  const { validate } = await import(`${packages}/@actions/languageservice/dist/index.js`);
  const { TextDocument } = await import(`${packages}/vscode-languageserver-textdocument/lib/esm/main.js`);
  for (const file of files) {
    const name = basename(file).startsWith('action.') ? file : `/x/.github/workflows/${basename(file)}`;
    const document = TextDocument.create(`file://${name}`, 'yaml', 1, readFileSync(file, 'utf8'));
    for (const { message, range } of await validate(document, {}))
      console.log(`${file}:${range.start.line + 1}: ${message}`);
  }
} else {
  const { Evaluator, Lexer, Parser, data } = await import(`${packages}/@actions/expressions/dist/index.js`);
  const { templates, context } = JSON.parse(readFileSync(0, 'utf8'));

  const known = (value) => {
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
      const found = new data.Dictionary();
      for (const [key, each] of Object.entries(value)) found.add(key, known(each));
      return found;
    }
    if (Array.isArray(value)) return new data.Array(...value.map(known));
    if (typeof value === 'string') return new data.StringData(value);
    if (typeof value === 'boolean') return new data.BooleanData(value);
    return typeof value === 'number' ? new data.NumberData(value) : new data.Null();
  };
  const evaluate = (text) => {
    const { tokens } = new Lexer(text).lex();
    const tree = new Parser(tokens, Object.keys(context), []).parse();
    return new Evaluator(tree, known(context)).evaluate().coerceString();
  };
  const filled = Object.entries(templates).map(([name, text]) => [
    name,
    text.replaceAll(/\$\{\{(.*?)\}\}/gs, (_, expression) => evaluate(expression.trim())),
  ]);
  console.log(JSON.stringify(Object.fromEntries(filled)));
}
