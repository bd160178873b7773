// No file of the repository names a model that the installed SDK says will end, and those that name a
// model for the reader to use all name the same one.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { endingModels, modelsKnown } from '../lib/sdk-types.mjs';
import { repo } from '../lib/own.mjs';

const files = execFileSync('git', ['-C', repo, 'ls-files', '-z'], { encoding: 'utf8' }).split('\0').filter(Boolean)
  .filter((f) => fs.statSync(path.join(repo, f), { throwIfNoEntry: false })?.isFile());
const read = (f) => fs.readFileSync(path.join(repo, f), 'latin1');
const named = (text) => [...text.matchAll(/\bclaude-(?:opus|sonnet|haiku|fable|mythos|[0-9])[a-z0-9.-]*[a-z0-9]/g)].map((m) => m[0]);

test('no file names a model that ends', () => {
  const ending = Object.keys(endingModels());
  assert(ending.length > 0 && files.length > 100, 'there is something to compare');
  assert(named(`x ${ending[0]}.`).includes(ending[0]), 'such a name would be seen');
  const found = files.flatMap((f) => named(read(f)).filter((m) => ending.includes(m)).map((m) => `${f}: ${m}`));
  assert.deepEqual(found, []);
});

test('the model of the command line is the one of every example and document, and the SDK knows it', () => {
  const [, ours] = read('src/cmd/session.c').match(/#define DEFAULT_MODEL "([^"]+)"/);
  assert(modelsKnown().includes(ours), ours);
  const shown = files.filter((f) => /^(examples|docs|demo|README|CONTRIBUTING|ARCHITECTURE)/.test(f));
  assert(shown.some((f) => f.startsWith('examples/') && named(read(f)).length > 0), 'the examples name one');
  for (const f of shown) for (const m of named(read(f))) assert.equal(m, ours, f);
  for (const f of shown.filter((x) => /^examples\/.*\.(ts|sh)$/.test(x) && /"model"|model:/.test(read(x)))) {
    const text = read(f) + (f.endsWith('.sh') ? read('examples/curl/lib.sh') : '');
    assert.match(text, /SALLYPORT_MODEL/, `${f} can be told another`);
  }
});
