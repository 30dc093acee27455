import * as z from 'zod';
import { isLoopback } from '../loopback.ts';

/** Whoever can change what comes from here signs in as whom he likes: https, or this machine. */
export const trustworthyUrl = z.url({ protocol: /^https?$/ }).refine((text) => {
  const { protocol, hostname } = new URL(text);
  return protocol === 'https:' || isLoopback(hostname.replace(/^\[|\]$/g, ''));
}, 'must be an https URL; http is for this machine only');
