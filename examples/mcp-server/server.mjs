// server.mjs PORT - a private MCP server, made with the official SDK: the house's handbook, which is nobody else's business.
//
// It listens on this machine's loopback alone. A Sallyport gateway beside it makes it reachable through a tunnel:
// docs/tunnel.md, "With up, in a minute". With HANDBOOK_TOKEN_FILE in the environment it demands the token in that file,
// which then is the gateway's to know and not the caller's.
import fs from 'node:fs';
import http from 'node:http';
import { webcrypto } from 'node:crypto';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { z } from 'zod';

globalThis.crypto ??= webcrypto; // Debian 12 has Node 18, which keeps it apart; the SDK looks for it here

const handbook = JSON.parse(fs.readFileSync(new URL('handbook.json', import.meta.url), 'utf8'));
const token = process.env.HANDBOOK_TOKEN_FILE && fs.readFileSync(process.env.HANDBOOK_TOKEN_FILE, 'utf8').trim();

function server() {
  const mcp = new McpServer({ name: 'handbook', version: '1.0.0' });
  mcp.registerTool('ask', {
    description: `Answers a question from the house's handbook. It has chapters about: ${Object.keys(handbook).join(', ')}.`,
    inputSchema: { question: z.string().describe('in plain words') },
  }, async ({ question }) => {
    const chapter = Object.keys(handbook).find((c) => question.toLowerCase().includes(c));
    return { content: [{ type: 'text', text: chapter ? handbook[chapter] : 'The handbook does not say.' }] };
  });
  return mcp;
}

const listener = http.createServer(async (req, res) => {
  if (token && req.headers.authorization !== `Bearer ${token}`) return void res.writeHead(401, { 'www-authenticate': 'Bearer' }).end();
  if (req.url !== '/mcp') return void res.writeHead(404).end();
  // Without sessions: each request stands alone, so a server of its own answers it.
  const mcp = server(), transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  res.on('close', () => { transport.close(); mcp.close(); });
  await mcp.connect(transport);
  await transport.handleRequest(req, res);
});
listener.listen(Number(process.argv[2] ?? 9000), '127.0.0.1', () => console.log(`the handbook is at http://127.0.0.1:${listener.address().port}/mcp`));
