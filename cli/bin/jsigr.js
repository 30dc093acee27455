#!/usr/bin/env node
// The command's door: it is in the repository before anything is built, so that npm can link it, and it says what is missing.
import { existsSync } from 'node:fs';

// What libraries will have to change one day is nothing that a user can do anything about.
process.noDeprecation = true;
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const main = new URL('../dist/main.js', import.meta.url);
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(
    `jsigr needs Node 22.19 or newer, this is ${process.version}. Inside the repository use \`npx jsigr\`.`,
  );
  process.exit(1);
} else if (!existsSync(main)) {
  console.error('jsigr is not built yet: run `npm run build` in the repository first.');
  process.exit(1);
} else {
  const { cacheCompiledCode } = await import('@jsigr/service/compile-cache');
  cacheCompiledCode();
  await import(main.href);
}
