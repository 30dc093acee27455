import { defineConfig } from 'vitest/config';

// Unit tests run from the sources of every package: the `source` condition of their package.json picks src/ over dist/. No `import` among the
// conditions: they reach Node's own loader too, and a `require` of a package that has both kinds would get the wrong one.
const conditions = ['source', 'node'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['{proto,packages/*,services/*,gateway,cli,tests}/**/*.test.ts'],
    exclude: ['**/dist/**', '**/node_modules/**'],
    // Of a test that hangs: on a busy machine the slowest of those that do not took more than a minute.
    testTimeout: 180_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
