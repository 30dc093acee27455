import { ModelError } from '../errors.ts';
import type { Architecture } from './architecture.ts';
import { lenet } from './lenet.ts';
import { mlp } from './mlp.ts';
import { resnet8 } from './resnet8.ts';
import { resnet18 } from './resnet18.ts';
import { resnet20 } from './resnet20.ts';
import { smallcnn } from './smallcnn.ts';
import { vgg7 } from './vgg7.ts';
import { vgg11 } from './vgg11.ts';
import { wrn16x4 } from './wrn-16-4.ts';

const ARCHITECTURES: readonly Architecture[] = [
  mlp,
  lenet,
  smallcnn,
  resnet8,
  resnet20,
  resnet18,
  wrn16x4,
  vgg7,
  vgg11,
];

/** Every architecture, in the order of listings. */
export function listArchitectures(): readonly Architecture[] {
  return ARCHITECTURES;
}

/** @throws ModelError UNKNOWN_ARCHITECTURE, listing the known names. */
export function findArchitecture(name: string): Architecture {
  const found = ARCHITECTURES.find((architecture) => architecture.name === name);
  if (found) return found;
  const known = ARCHITECTURES.map((architecture) => architecture.name).join(', ');
  throw new ModelError('UNKNOWN_ARCHITECTURE', 'architecture', `there is no architecture "${name}"; known: ${known}`);
}
