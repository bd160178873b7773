// A browser of a person who agrees at once: opens the address that is its argument, and follows where it is sent.
// It is given to `sallyport mcp --authorize-with`; the exit code says whether it came to an end.
const answer = await fetch(process.argv.at(-1), { redirect: "follow" });
await answer.text();
if (!answer.ok) {
  process.stderr.write(`the browser ended at HTTP ${answer.status}\n`);
  process.exit(1);
}
