// A gateway as it is installed, but for its trainers: those of `trainer.ts` tell events at a given rate and train nothing.
import { fileURLToPath } from 'node:url';
import { startGateway } from '@jsigr/gateway';
import { createLogger } from '@jsigr/service';
const options = JSON.parse(process.argv[2] ?? '{}');
const gateway = await startGateway({
    ...options,
    graceSeconds: 0.1,
    grpcPort: 0,
    httpPort: 0,
    log: createLogger('gateway', 'error'),
    workerEntry: () => fileURLToPath(new URL('trainer.ts', import.meta.url)),
});
process.once('SIGTERM', () => void gateway.close().then(() => process.exit(0)));
process.send?.({ address: gateway.grpcAddress });
