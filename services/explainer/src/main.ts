import { runWorker } from '@jsigr/service';
import { explainerWorker } from './index.ts';

await runWorker(explainerWorker);
