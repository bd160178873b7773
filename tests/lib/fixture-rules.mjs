// Script-model rules that several files use: one word in the user's message selects a behaviour.
import { bash, on, say, tool } from './sallyport.mjs';

/** `custom` is a custom tool every agent of these files may declare. */
export const LOOKUP = { type: 'custom', name: 'lookup', description: 'Looks a word up.', input_schema: { type: 'object', properties: { word: { type: 'string' } }, required: ['word'] } };

export const RULES = [
  on('two shells', { turn: 1 }, bash('echo one'), bash('echo two')),
  on('two shells', { turn: 2 }, say('both shells done')),
  on('stubborn', { turn: 1 }, bash('echo no')),
  on('stubborn', { turn: 2, tool_result: 'has been rejected' }, say('understood')),
  on('plain', {}, say('a plain answer')),
  on('think', {}, { think: 'let me see' }, say('thought about it')),
  on('pieces', {}, say('one two three four five six seven eight nine ten', { pieces: 5, delay_ms: 20 })),
  on('lookup', { turn: 1 }, say('looking'), tool('lookup', { word: 'fiber' })),
  on('lookup', { turn: 2 }, say('found it')),
  on('twice', { turn: 1 }, tool('lookup', { word: 'a' }), tool('lookup', { word: 'b' })),
  on('twice', { turn: 2 }, say('both done')),
  on('shell', { turn: 1 }, bash('echo hi')),
  on('shell', { turn: 2 }, say('shell done')),
  on('slow', {}, { delay_ms: 30000 }, say('too late')),
  on('drip', {}, say('x'.repeat(400), { pieces: 200, delay_ms: 50 })),
  on('', {}, say('no idea')),
];
