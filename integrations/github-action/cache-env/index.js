// Hands the way to GitHub's cache on as outputs: inside a composite action they reach its own steps and nobody else.
// Variables set through GITHUB_ENV would stay for every later step of the job.
'use strict';

const { randomBytes } = require('node:crypto');
const { appendFileSync } = require('node:fs');

const values = {
  token: process.env.ACTIONS_RUNTIME_TOKEN || '',
  url: process.env.ACTIONS_RESULTS_URL || '',
  v2: process.env.ACTIONS_CACHE_SERVICE_V2 || '',
};
// Tokens are one line of letters, digits and a few signs. Anything else isn't one, and could be an order in the log.
if (!/^[A-Za-z0-9._~+/=-]+$/.test(values.token)) values.token = '';
if (values.token) process.stdout.write(`::add-mask::${values.token}\n`);

const lines = Object.entries(values).map(([name, value]) => {
  const mark = `coopery_${randomBytes(16).toString('hex')}`;
  return `${name}<<${mark}\n${value}\n${mark}\n`;
});
appendFileSync(process.env.GITHUB_OUTPUT, lines.join(''));
