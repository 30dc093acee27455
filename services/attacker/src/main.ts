import { runWorker } from '@jsigr/service';
import { attackerWorker } from './index.ts';

await runWorker(attackerWorker);
