// Every test that docs/semantics.md names as a proof must exist.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const NOT_OURS = new Set(['node_modules', 'target', 'dist', 'test-results', 'wasm']);

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !NOT_OURS.has(entry.name) && !entry.name.startsWith('.')) yield* sources(path);
    else if (/\.(rs|ts)$/.test(entry.name)) yield readFileSync(path, 'utf8');
  }
}

const rows = readFileSync('docs/semantics.md', 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (promise|what happens) /.test(line));
const names = rows.flatMap(
  (row) =>
    row
      .split(' | ')
      .at(-1)
      .match(/(?<=`)[^`|,]{4,}[^`|]*(?=`)/g) ?? [],
);
const tests = [...sources('.')].join('\n');
const isRust = (name) => /^[a-z0-9_]+$/.test(name);
const missing = names.filter((name) =>
  isRust(name)
    ? !tests.includes(`fn ${name}(`)
    : ![`'${name}`, `\`${name}`].some((start) => tests.includes(start)),
);

for (const name of missing) console.error(`docs/semantics.md names a test that is not there: ${name}`);
console.log(`${names.length - missing.length} of ${names.length} proofs found for ${rows.length} promises`);
process.exit(missing.length > 0 || names.length < rows.length ? 1 : 0);
