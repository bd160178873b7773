// The tables of docs/internals/turn.md name every stop reason, block, delta, event and error type that the
// installed SDK knows, and every test they name exists.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { fieldsOf, literalsOf } from '../lib/sdk-types.mjs';
import { repo } from '../lib/own.mjs';

const doc = fs.readFileSync(path.join(repo, 'docs/internals/turn.md'), 'utf8');
const section = (title) => doc.slice(doc.indexOf(`### ${title}`)).split(/\n##/)[0].length > 20
  ? doc.slice(doc.indexOf(`### ${title}`) + 4).split(/\n##/)[0] : assert.fail(title);
const rows = (title) => section(title).split('\n').filter((l) => l.startsWith('|') && !/^\|[-|]+$/.test(l)).slice(1)
  .map((l) => l.slice(1, -1).split(' | ').map((c) => c.trim()));

for (const [title, types] of [
  ['Stop reasons', ['StopReason', 'BetaStopReason']],
  ['Blocks', ['ContentBlock', 'BetaContentBlock']],
  ['Events and deltas', ['RawMessageStreamEvent', 'RawContentBlockDelta', 'BetaRawMessageStreamEvent', 'BetaRawContentBlockDelta']],
  ['Errors', ['ErrorType']],
]) test(`${title}: all that the SDK knows has a line`, () => {
  const known = [...new Set(types.flatMap(literalsOf))];
  assert(known.length >= 7, known.join());
  const first = rows(title).map((r) => r[0]).join('\n');
  assert.deepEqual(known.filter((k) => !first.includes(`\`${k}\``)), []);
});

test('every line names a test, and every test that is named exists', () => {
  const file = (f) => fs.readFileSync(path.join(repo, f), 'utf8');
  const where = {
    odd: file('tests/scenario/brain-odd.test.mjs'), model: file('tests/scenario/brain-model.test.mjs'), turn: file('tests/unit/brain/test_turn.c'),
    turn_odd: file('tests/unit/brain/test_turn_odd.c'), stream: file('tests/unit/brain/models/test_anthropic_stream.c'),
    refusal: file('tests/unit/brain/models/test_anthropic_refusal.c'), context: file('tests/unit/brain/test_context.c'),
  };
  // A name with a variable part (`${what}: tried again`) is found by its fixed part and by the value.
  const has = (text, name) => text.includes(name.replace(/'/g, "\\'")) || text.includes(name) ||
    [...text.matchAll(/test\(`([^`]*)`/g)].some(([, t]) => {
      const m = name.match(new RegExp(`^${t.split(/\$\{[^}]*\}/).map((x) => x.replace(/[.*+?^$()|[\]\\{}]/g, '\\$&')).join('(.+)')}$`));
      return m && m.slice(1).every((v) => text.includes(`'${v}'`));
    });
  let n = 0;
  for (const title of ['Stop reasons', 'Blocks', 'Events and deltas', 'Errors']) for (const row of rows(title)) {
    assert.equal(row.length, 3, row.join(' | '));
    const names = split(row[2]);
    assert(names.length > 0, row[0]);
    for (const [place, name] of names) {
      n++;
      if (place === 'path') assert(fs.existsSync(path.join(repo, name)), name);
      else assert(has(where[place], name), `${row[0]}: no test "${name}" in ${place}`);
    }
  }
  assert(n > 40);
  assert(!has(where.odd, 'a test that is not there: tried again'));
});

/** "*turn* x; y" as [place, name] pairs. Some names hold a semicolon themselves: those are listed. */
function split(cell) {
  const out = [];
  for (let part of cell.split(/; (?!redacted|none is|one in a)/)) {
    const file = part.match(/^`(tests\/[^`]+)`$/), place = part.match(/^\*(\w+)\* (.*)$/);
    if (file) out.push(['path', file[1]]);
    else out.push(place ? [place[1], place[2].replace(/ \(the count\)$/, '')] : ['odd', part]);
  }
  return out;
}

test('the reader of the tables is awake', () => {
  assert(rows('Errors').length >= 15);
  assert(fieldsOf('TextBlock').type);
  assert(literalsOf('StopReason').includes('end_turn'));
});
