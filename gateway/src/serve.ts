import { createLogger, exitCodeOf, JsigrError, onShutdown } from '@jsigr/service';
import { readConfig } from './config.ts';
import { startGateway } from './start-gateway.ts';

const log = createLogger('gateway', process.env.JSIGR_LOG_LEVEL || 'info');
try {
  const { dataDirectory = '', ...config } = await readConfig({ environment: process.env });
  const gateway = await startGateway({ ...config, dataDirectory, log });
  onShutdown(() => gateway.close());
} catch (error) {
  const { message, reason, hint } = JsigrError.from(error);
  log.fatal({ reason, hint }, message);
  process.exit(exitCodeOf(error));
}
