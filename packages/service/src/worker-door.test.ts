import { Metadata } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { WorkerDoor } from './worker-door.ts';

const metadata = (token?: string) => {
  const made = new Metadata();
  if (token !== undefined) made.set('authorization', `Bearer ${token}`);
  return made;
};
const door = new WorkerDoor('token-of-the-gateway');
const enters = async (method: string, token?: string) => {
  try {
    await door.admit({ method, metadata: metadata(token), address: '127.0.0.1' });
    return true;
  } catch (error) {
    expect(error).toMatchObject({ reason: 'NOT_THE_GATEWAY' });
    return false;
  }
};

describe("a worker's door", () => {
  test('opens to the gateway, and to anybody who asks after its health', async () => {
    expect(await enters('jsigr.v1.TrainerService/StartTraining', 'token-of-the-gateway')).toBe(true);
    expect(await enters('jsigr.v1.TrainerService/StartTraining', 'another')).toBe(false);
    expect(await enters('jsigr.v1.TrainerService/StartTraining')).toBe(false);
    expect(await enters('grpc.health.v1.Health/Check')).toBe(true);
  });

  test('opens to the guest of the run for what it was invited to, until the next one is invited', async () => {
    const [stream, start] = ['jsigr.v1.TrainerService/StreamCheckpoints', 'jsigr.v1.TrainerService/StartTraining'];
    door.invite('first', [stream]);
    expect([await enters(stream, 'first'), await enters(start, 'first')]).toEqual([true, false]);
    door.invite('second', [stream]);
    expect([await enters(stream, 'first'), await enters(stream, 'second')]).toEqual([false, true]);
    door.invite('', [stream]);
    expect([await enters(stream, ''), await enters(stream, 'second')]).toEqual([false, false]);
  });
});
