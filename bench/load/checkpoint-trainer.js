// The trainer's own service in a process of its own, on a given artefact store, without a gateway.
import { createLogger, startGrpcServer } from '@jsigr/service';
import { standaloneContext } from '@jsigr/service/testing';
import { trainerWorker } from '@jsigr/trainer';
const { artefacts } = JSON.parse(process.argv[2] ?? '{}');
const context = standaloneContext(artefacts, createLogger('trainer', 'error'));
const { module, services } = trainerWorker;
const server = await startGrpcServer({ module: module(context), services, host: '127.0.0.1', port: 0 });
process.once('SIGTERM', () => process.exit(0));
process.send?.({ address: server.address });
