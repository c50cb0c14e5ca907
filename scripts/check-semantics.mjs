// Every test that docs/semantics.md names as a proof must exist.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const rows = readFileSync('docs/semantics.md', 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| promise'));
const names = rows.flatMap((row) =>
  [
    ...row
      .split(' | ')
      .at(-1)
      .matchAll(/`([^`]+)`/g),
  ].map(([, name]) => name),
);
const tests = execFileSync('git', ['grep', '-hE', String.raw`^\s*(async )?fn [a-z0-9_]+\(|\btest\(`], {
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
});
const missing = names.filter((name) => !tests.includes(`fn ${name}(`) && !tests.includes(name));

for (const name of missing) console.error(`docs/semantics.md names a test that is not there: ${name}`);
console.log(`${names.length - missing.length} of ${names.length} proofs found for ${rows.length} promises`);
process.exit(missing.length > 0 || rows.length === 0 ? 1 : 0);
