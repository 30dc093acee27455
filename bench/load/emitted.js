/** Name of the metric that says when an event was made, in milliseconds since 1970. */
export const EMITTED = 'emitted_at';
