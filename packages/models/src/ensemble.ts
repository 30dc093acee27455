import { memoise, type Tree } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { Classifier } from './classifier.ts';
import type { Forward } from './create-classifier.ts';
import { ModelError } from './errors.ts';

/**
 * The classifier whose logits are the mean of its members' logits (fusion of logits, as in transfer attacks).
 * Its parameters are `{ member0, member1, ... }`.
 * @throws ModelError INVALID_SHAPE if there is no member or they do not agree on images and classes.
 */
export function ensemble(members: readonly Classifier[], id: string): Classifier {
  const first = members[0];
  if (first === undefined) throw new ModelError('INVALID_SHAPE', 'members', 'an ensemble needs at least one member');
  for (const member of members)
    if (member.classes !== first.classes || member.input.join() !== first.input.join())
      throw new ModelError(
        'INVALID_SHAPE',
        'members',
        `${member.id} takes ${member.input.join('x')} images and ${member.classes} classes, ` +
          `${first.id} takes ${first.input.join('x')} and ${first.classes}`,
      );
  return {
    id,
    input: first.input,
    classes: first.classes,
    parameters: Object.fromEntries(members.map((member, index) => [`member${index}`, member.parameters])),
    forward: meanOf(...members.map((member) => member.forward)),
  };
}

/** The same members give the same function object. */
const meanOf = memoise(
  (...forwards: Forward[]): Forward =>
    (parameters, images) => {
      const logits = forwards.map((forward, index) => forward(child(parameters, `member${index}`), images));
      return tf.mul(
        logits.reduce((sum, each) => tf.add(sum, each)),
        1 / logits.length,
      );
    },
);

function child(tree: Tree<Tensor>, name: string): Tree<Tensor> {
  const found = tree instanceof tf.Tensor ? undefined : tree[name];
  if (found === undefined) throw new ModelError('PARAMETER_MISMATCH', name, `the ensemble's parameters lack ${name}`);
  return found;
}
