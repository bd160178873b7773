// The types of the installed SDK as data: reads its TypeScript sources (interfaces and type aliases,
// as the generator writes them) and checks a value against one of them by name. Not a compiler: what
// it does not understand it says, so that nothing passes unread.
import fs from 'node:fs';
import path from 'node:path';

const ROOT = new URL('../node_modules/@anthropic-ai/sdk/src/', import.meta.url).pathname;

function sources(folder = 'resources') {
  const out = [];
  for (const f of fs.readdirSync(path.join(ROOT, folder), { recursive: true }))
    if (f.endsWith('.ts')) out.push(fs.readFileSync(path.join(ROOT, folder, f), 'utf8'));
  return out;
}

/** "/v1/agents", … : the first two segments of every path that the SDK calls. */
export function routeFamilies() {
  const out = new Set();
  for (const text of sources()) for (const [, p] of text.matchAll(/[`'](\/v1\/[a-z_]+)/g)) out.add(p);
  return out;
}

/** Models that the SDK warns of, with the day on which they end. */
export function endingModels() {
  for (const text of sources('internal/data')) {
    const m = text.match(/const DEPRECATED_MODELS:[^=]*= \{([^}]*)\}/);
    if (m) return Object.fromEntries([...m[1].matchAll(/'([^']+)': '([^']+)'/g)].map(([, k, v]) => [k, v]));
  }
  throw new Error('the SDK has no list of models that end');
}

/** Every model that the SDK has a name for. */
export const modelsKnown = () => [...declarations().get('Model').alias.matchAll(/'(claude-[^']+)'/g)].map((m) => m[1]);

const strip = (text) => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/[^\n]*/g, '');

/** Splits at `sep` where no bracket or quote is open. */
function split(text, sep) {
  const out = [];
  let depth = 0, quote = false, from = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === "'") quote = !quote;
    if (quote) continue;
    if ('{[(<'.includes(c)) depth++;
    if ('}])>'.includes(c) && text[i - 1] !== '=') depth--;
    if (c === sep && depth === 0) { out.push(text.slice(from, i)); from = i + 1; }
  }
  out.push(text.slice(from));
  return out.map((s) => s.trim()).filter(Boolean);
}

function closing(text, open) {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === '{') depth++;
    if (text[i] === '}' && --depth === 0) return i;
  }
  throw new Error('no end');
}

let index;
function declarations() {
  if (index) return index;
  index = new Map();
  for (const raw of sources()) {
    const text = strip(raw);
    for (const m of text.matchAll(/export interface (\w+)(?: extends ([\w., ]+))? \{/g)) {
      const open = m.index + m[0].length - 1;
      index.set(m[1], { body: text.slice(open, closing(text, open) + 1), bases: m[2] ? split(m[2], ',') : [] });
    }
    for (const m of text.matchAll(/export type (\w+) =([\s\S]*?);\n(?=\n|export|$)/g)) if (!index.has(m[1])) index.set(m[1], { alias: m[2].trim() });
  }
  return index;
}

/** The fields of an interface: {name: {type, optional}}. */
export function fieldsOf(name) {
  const d = declarations().get(name.split('.').pop());
  if (!d?.body) throw new Error(`the SDK has no interface ${name}`);
  return { ...Object.assign({}, ...d.bases.map(fieldsOf)), ...members(d.body) };
}

function members(body) {
  const out = {};
  for (const m of split(body.slice(1, -1), ';')) {
    const f = m.match(/^(?:readonly )?'?([\w-]+)'?(\?)?:([\s\S]*)$/);
    if (f) out[f[1]] = { type: f[3].trim(), optional: !!f[2] };
    else if (!/^\[\w+: string\]:/.test(m)) throw new Error(`unread member: ${m}`);
  }
  return out;
}

export const nullable = (type) => split(type, '|').includes('null');

/** What is wrong with `value` as a `type`: a list of sentences, empty when nothing is. */
export function faults(value, type, at = '$') {
  const options = split(type, '|');
  if (options.length > 1) {
    const tried = options.map((o) => faults(value, o, at));
    if (tried.some((t) => t.length === 0)) return [];
    const same = options.findIndex((o) => kindOf(o) && kindOf(o) === value?.type);
    return same >= 0 ? tried[same] : [`${at}: ${JSON.stringify(value)?.slice(0, 80)} is none of ${type.replace(/\s+/g, ' ').slice(0, 160)}`];
  }
  const t = options[0] ?? '';
  const is = (ok) => (ok ? [] : [`${at}: ${JSON.stringify(value)?.slice(0, 80)} is no ${t}`]);
  if (t === 'null') return is(value === null);
  if (['string', 'number', 'boolean'].includes(t)) return is(typeof value === t);
  if (t === 'unknown' || t === 'any' || t === 'string & {}') return [];
  if (/^'.*'$/.test(t)) return is(value === t.slice(1, -1));
  if (/^(true|false|\d+)$/.test(t)) return is(String(value) === t);
  if (t.startsWith('(')) return faults(value, t.slice(1, -1), at);
  const list = t.match(/^Array<([\s\S]*)>$/);
  if (list) return Array.isArray(value) ? value.flatMap((x, i) => faults(x, list[1], `${at}[${i}]`)) : is(false);
  if (t.startsWith('{')) {
    const map = t.match(/^\{\s*\[\w+: string\]:([\s\S]*)\}$/);
    if (!map) return object(value, members(t), at);
    return value && typeof value === 'object' && !Array.isArray(value)
      ? Object.entries(value).flatMap(([k, v]) => faults(v, map[1].replace(/;\s*$/, ''), `${at}.${k}`)) : is(false);
  }
  const d = declarations().get(t.split('.').pop());
  if (!d) throw new Error(`unread type at ${at}: ${t}`);
  return d.alias ? faults(value, d.alias, at) : object(value, fieldsOf(t), at);
}

/** The names in a union: its literals, and the `type` of each interface. */
export function literalsOf(name) {
  const d = declarations().get(name.split('.').pop());
  if (!d?.alias) throw new Error(`the SDK has no union ${name}`);
  return split(d.alias, '|').flatMap((t) => (t.startsWith("'") ? [t.slice(1, -1)] : declarations().get(t.split('.').pop())?.alias ? literalsOf(t) : [kindOf(t)]));
}

/** The literal in the `type` field of an interface. */
function kindOf(name) {
  const d = declarations().get(name.split('.').pop());
  return d?.body ? fieldsOf(name).type?.type.replace(/'/g, '') : undefined;
}

function object(value, fields, at) {
  if (!value || typeof value !== 'object' || Array.isArray(value)) return [`${at}: ${JSON.stringify(value)?.slice(0, 80)} is no object`];
  const out = [];
  for (const [k, f] of Object.entries(fields)) {
    if (k in value) out.push(...faults(value[k], f.type, `${at}.${k}`));
    else if (!f.optional) out.push(`${at}.${k}: is missing`);
  }
  for (const k of Object.keys(value)) if (!(k in fields)) out.push(`${at}.${k}: the type has no such field`);
  return out;
}
