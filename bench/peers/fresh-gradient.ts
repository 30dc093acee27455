// A fresh process for `bench:engine first`, which keeps its compiled code as the processes of jsigr do.
import { cacheCompiledCode } from '@jsigr/service/compile-cache';

cacheCompiledCode();
await import('./first-gradient.ts');
