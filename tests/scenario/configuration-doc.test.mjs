// docs/configuration.md says what the program says: every flag of every command it describes, its
// choices, the defaults its help states, and whether a configuration file may set it.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, repo, run, tempDir } from '../lib/own.mjs';

const doc = fs.readFileSync(path.join(repo, 'docs', 'configuration.md'), 'utf8');

/** command -> flag -> cells of its row. */
const sections = new Map();
for (const part of doc.split(/^## sallyport (?!egress )/m).slice(1)) {
  const rows = new Map();
  for (const line of part.split(/^## /m)[0].split('\n')) {
    const m = /^\| `--([a-z-]+)` \|(.*)\|$/.exec(line);
    if (m) rows.set(m[1], m[2].split('|').map((c) => c.trim()));
  }
  sections.set(part.match(/^\S+/)[0], rows);
}

test('the commands with configuration are there', () => assert.deepEqual([...sections.keys()], ['server', 'up', 'worker', 'exec']));

for (const [command, rows] of sections) {
  test(`${command}: flags, choices and defaults`, async () => {
    const { out, code } = await run(BIN, [command, '--complete-flags']);
    assert.equal(code, 0);
    const flags = new Map(out.trim().split('\n').map((l) => l.split('\t')).map(([f, kind, help]) => [f.slice(2), { kind, help }]));
    flags.delete('help');
    assert.deepEqual([...rows.keys()].sort(), [...flags.keys()].sort(), 'the same flags');
    for (const [name, { kind, help }] of flags) {
      const [docKind, docDefault] = rows.get(name);
      if (kind.startsWith('choice:')) for (const c of kind.slice(7).split(',')) assert(docKind.includes(`\`${c}\``), `${name}: ${c}`);
      if (kind === 'none') assert.equal(docKind, 'switch', name);
      // Help states a default as "(90s)", "(127.0.0.1:8400; …)", "(VARIABLE, else http://…)".
      const said = help.match(/\(([^()]*)\)$/)?.[1].split(';')[0].split(/else /).at(-1).trim();
      if (said && /^([0-9]+[a-zA-Z]+|[a-z]+|[0-9.:]+|https?:\S+)$/.test(said)) assert(docDefault.includes(said), `${name}: default ${said}, the page says ${docDefault}`);
    }
  });

  test(`${command}: what a file may set`, async () => {
    const dir = tempDir('conf');
    const [usage, rest] = command === 'exec' ? [125, ['--', 'true']] : [2, []];
    for (const [name, [, , inFile]] of rows) {
      const file = path.join(dir, `${name}.yaml`);
      // A mapping is the wrong kind for every setting: a known one is told so, an unknown one is not known.
      fs.writeFileSync(file, `${name.replaceAll('-', '_')}: {a: 1}\n`);
      const r = await run(BIN, [command, '--config', file, ...rest]);
      assert.equal(r.code, usage, r.err);
      assert.equal(/there is no such setting/.test(r.err), inFile === 'no', `${name}: ${r.err}`);
    }
  });
}
