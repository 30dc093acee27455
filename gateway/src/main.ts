import { cacheCompiledCode } from '@jsigr/service/compile-cache';

cacheCompiledCode();
await import('./serve.ts');
