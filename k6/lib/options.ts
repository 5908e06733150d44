/** What the options of the scripts have in common. */
import type { Options, Threshold } from 'k6/options';

/** Shorter runs, to try a script: TIME_SCALE=0.1 makes a minute six seconds. Objectives are meant for a whole run. */
const TIME_SCALE = Number(__ENV.TIME_SCALE || 1);
if (!(TIME_SCALE > 0 && TIME_SCALE <= 1)) throw new Error(`TIME_SCALE=${__ENV.TIME_SCALE}: above 0, at most 1`);

/** A duration of a whole run, in seconds, as this run has it. */
export const scaled = (seconds: number): number => Math.max(1, Math.round(seconds * TIME_SCALE));
/** The same, as k6's options have it: "60s". */
export const time = (seconds: number): string => `${scaled(seconds)}s`;

type Thresholds = Record<string, Threshold[]>;

/**
 * Objectives of every script, besides its own. Checks look into the bodies. A run that the edge's limit of one client
 * refused (429) has measured nothing else, so it fails; so does one of which an iteration ended with an exception.
 */
const COMMON: Thresholds = { checks: ['rate>0.99'], rate_limited: ['count==0'], script_errors: ['count==0'] };

/** Of scripts that start their work at a given rate: k6 must have started all of it, or it has sent less than it says. */
export const ALL_STARTED: Thresholds = { dropped_iterations: ['count==0'] };

/** What k6 was told besides (--vus, K6_DURATION, its configuration file) replaces the scenarios, and of no samples most objectives hold. */
const allRan = (scenarios: object): Thresholds =>
  Object.fromEntries(Object.keys(scenarios).map((name) => [`iterations{scenario:${name}}`, ['count>0']]));

export function options(
  scenarios: NonNullable<Options['scenarios']>,
  thresholds: Thresholds,
  others: Options = {},
): Options {
  return {
    scenarios,
    thresholds: { ...COMMON, ...allRan(scenarios), ...thresholds },
    summaryTrendStats: ['count', 'avg', 'med', 'p(95)', 'p(98)', 'p(99)', 'max'],
    ...others,
  };
}
