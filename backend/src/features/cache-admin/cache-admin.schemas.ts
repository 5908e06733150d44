import { Joi } from '../../platform/http/joi.ts';

export interface CacheCounts {
  hits: number;
  misses: number;
  /** Read from the database and not stored, because of a write or another reader at work, or without Redis. */
  bypasses: number;
  fills_refused: number;
}

const count = Joi.number().integer().min(0).required();

const counts = Joi.object<CacheCounts, true>({ hits: count, misses: count, bypasses: count, fills_refused: count });

export const statsReply = Joi.object({
  connected_clients: count,
  used_memory_human: Joi.string().required().example('1.21M'),
  total_commands_processed: count,
  keyspace_hits: count,
  keyspace_misses: count,
  instance: Joi.string().required().example('backend-1'),
  caches: Joi.object()
    .pattern(Joi.string(), counts)
    .required()
    .description('What the replica that answers has counted since it started, by cache')
    .example({ tasks: { hits: 90, misses: 9, bypasses: 1, fills_refused: 0 } }),
});

export const CLEARED = 'Cache cleared successfully';
export const clearReply = Joi.object({ message: Joi.string().valid(CLEARED).required() });
