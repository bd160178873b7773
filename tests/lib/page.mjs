// The commands of a page of the documentation, to be run as they are written.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { repo } from './own.mjs';

/** Those behind `$` in the console blocks of a section ("## In five minutes"), with here-documents and continued lines. */
export function consoleCommands(page, title) {
  const doc = fs.readFileSync(path.join(repo, 'docs', page), 'utf8');
  const section = doc.split(`\n${title}\n`)[1]?.split(/^##+ /m)[0];
  assert(section, title);
  const lines = [...section.matchAll(/^```console\n(.*?)^```$/gms)].flatMap((m) => m[1].split('\n'));
  const taken = [];
  for (let i = 0, until; i < lines.length; i++) {
    if (until || taken.at(-1)?.endsWith('\\')) taken.push(lines[i]);
    else if (lines[i].startsWith('$ ')) taken.push(lines[i].slice(2));
    else continue;
    if (until && lines[i] === until) until = undefined;
    until ??= /<<(\w+)/.exec(lines[i])?.[1];
  }
  return taken;
}

/** A line of the page as a script has it: where a person reads the key from the screen, and waits until something is there. */
export const asScript = (l) => l
  .replace(/^(sallyport server .*?) &/, '$1 > server.log & until grep -q ^ready server.log; do sleep 0.1; done')
  .replace('ANTHROPIC_API_KEY=sk-sp-api-…', 'ANTHROPIC_API_KEY=$(sed -n "s/^api key: //p" server.log)')
  .replace(/^(python3 -m http\.server .*?) &/, '$1 2> http.log & until curl -s -o http.out http://127.0.0.1:9000/; do sleep 0.1; done');
