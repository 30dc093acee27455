import { runWorker } from '@jsigr/service';
import { trainerWorker } from './index.ts';

await runWorker(trainerWorker);
