// What the conformance suite starts as a client: `sallyport mcp`, with the calls that a scenario asks for. The suite appends the
// server's address and names the scenario in the environment. The exit code is that of the first command that fails.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const url = process.argv.at(-1);
const scenario = process.env.MCP_CONFORMANCE_SCENARIO ?? "";
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}");

// Tokens live as long as a scenario does. The browser is one that follows redirects and asks nobody: the suite's own pages do not ask.
const data = fs.mkdtempSync(path.join(os.tmpdir(), "sallyport-conformance-"));
process.on("exit", () => fs.rmSync(data, { recursive: true, force: true }));
const browser = `${process.execPath} ${path.join(import.meta.dirname, "follow-redirects.mjs")}`;

/** The issuer that a client is registered at. Who registers one knows it, and this driver stands for that person: the context says it in one
 *  scenario; in the others it is what the suite's own server publishes. `sallyport mcp` takes no client secret without one. */
async function issuer() {
  if (context.issuer) return context.issuer;
  const at = new URL(url), places = [`/.well-known/oauth-protected-resource${at.pathname}`, "/.well-known/oauth-protected-resource"];
  for (const place of places) {
    const r = await fetch(new URL(place, at));
    if (r.ok) return (await r.json()).authorization_servers[0];
  }
  throw new Error(`${url} names no authorization server`);
}
const secret = async () => ["--client-id", context.client_id, "--client-secret", "env:CONFORMANCE_SECRET", "--issuer", await issuer()];

/** What a person who uses this server would give on the command line, by scenario. */
const given = {
  "auth/pre-registration": secret,
  "auth/basic-cimd": () => ["--client-metadata", "https://conformance-test.local/client-metadata.json"],
  "auth/client-credentials-basic": async () => ["--grant", "client", ...await secret()],
  "auth/client-credentials-jwt": () => ["--grant", "client", "--client-id", context.client_id, "--client-key", "env:CONFORMANCE_KEY"],
  "auth/wif-jwt-bearer": () => ["--grant", "assertion", "--client-id", context.client_id, "--assertion", "env:CONFORMANCE_ASSERTION"],
  "auth/enterprise-managed-authorization": async () => ["--grant", "exchange", ...await secret(),
    "--idp", context.idp_issuer, "--idp-client-id", context.idp_client_id, "--assertion", "env:CONFORMANCE_ASSERTION"],
};
const authorization = scenario.startsWith("auth/") ? ["--data", data, "--authorize-with", browser, ...await given[scenario]?.() ?? []] : [];
const secrets = Object.fromEntries(Object.entries({
  CONFORMANCE_SECRET: context.client_secret, CONFORMANCE_KEY: context.private_key_pem,
  CONFORMANCE_ASSERTION: context.valid_jwt ?? context.idp_id_token,
}).filter(([, v]) => v));

function mcp(verb, ...args) {
  const r = spawnSync(process.env.SALLYPORT_BIN, ["mcp", verb, url, ...args, ...authorization],
    { encoding: "utf8", timeout: 150_000, env: { ...process.env, ...secrets } });
  process.stdout.write(r.stdout ?? "");
  process.stderr.write(r.stderr ?? "");
  if (r.status !== 0) process.exit(r.status ?? 1);
  return r.stdout;
}
const tools = () => JSON.parse(mcp("list", "--json")).tools;
const call = (name, args = {}, ...flags) => mcp("call", name, "--args", JSON.stringify(args), "--json", ...flags);

/** Arguments that a schema asks for, of the plainest kind. */
function plain(schema) {
  const of = { string: "x", integer: 1, number: 1, boolean: true, array: [], object: {} };
  return Object.fromEntries((schema.required ?? []).map((k) => [k, of[schema.properties?.[k]?.type] ?? "x"]));
}

const scenarios = {
  "tools_call": () => call("add_numbers", { a: 5, b: 3 }),
  "elicitation-sep1034-client-defaults": () => {
    for (const t of tools()) call(t.name, {}, "--elicit", "defaults");
  },
  "sse-retry": () => call("test_reconnection"),
  "sep-2322-client-request-state": () => {
    for (const t of tools()) call(t.name, {}, "--elicit", "defaults");
  },
  "http-standard-headers": () => {
    for (const t of tools()) call(t.name);
  },
  "http-custom-headers": () => {
    for (const t of context.toolCalls) call(t.name, t.arguments);
  },
  "http-invalid-tool-headers": () => {
    for (const t of tools()) call(t.name, plain(t.inputSchema));
  },
  "json-schema-ref-no-deref": () => tools(),
  "json-schema-2020-12-preservation": () => {
    const focal = tools().find((t) => t.name === "json_schema_2020_12_tool");
    call("json_schema_echo", { schema: focal.inputSchema });
  },
};
(scenarios[scenario] ?? (() => {
  for (const t of tools()) call(t.name, plain(t.inputSchema));
}))();
