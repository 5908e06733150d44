import { hostname } from 'node:os';
import Joi from 'joi';

/** Everything that a replica can be told from outside. Made once, by server.ts; nobody else reads the environment. */
export interface Config {
  readonly INSTANCE_NAME: string;
  readonly HOST: string;
  readonly PORT: number;
  readonly DEBUG_HOST: string;
  readonly DEBUG_PORT: number;
  readonly DATABASE_URL: string;
  readonly DATABASE_POOL_MAX: number;
  /** Empty: no cache, every read goes to PostgreSQL. */
  readonly REDIS_URL: string;
  /** What the routes for administrators ask for. */
  readonly ADMIN_TOKEN: string;
  /** Whether the debug port lets people make this replica ill (features/faults). */
  readonly FAULTS: 'on' | 'off';
  /** Where traces go; empty: there are none. src/tracing.ts has read it before. */
  readonly OTEL_EXPORTER_OTLP_ENDPOINT: string;
  readonly LOG_LEVEL: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

const databaseUrl = Joi.string()
  .uri({ scheme: ['postgres', 'postgresql'] })
  .required();

const schema = Joi.object<Config, true>({
  INSTANCE_NAME: Joi.string()
    .pattern(/^[\w.-]{1,63}$/)
    .default(hostname()),
  HOST: Joi.string().default('127.0.0.1'),
  PORT: Joi.number().port().default(3000),
  DEBUG_HOST: Joi.string().default('127.0.0.1'),
  DEBUG_PORT: Joi.number().port().default(9000),
  DATABASE_URL: databaseUrl,
  DATABASE_POOL_MAX: Joi.number().integer().min(1).max(100).default(10),
  REDIS_URL: Joi.string()
    .uri({ scheme: ['redis', 'rediss'] })
    .allow('')
    .default(''),
  ADMIN_TOKEN: Joi.string()
    .pattern(/^[\w-]{8,}$/)
    .required()
    // Joi's own words repeat the value.
    .messages({ 'string.pattern.base': '{{#label}} must have 8 or more letters, digits, - and _' }),
  FAULTS: Joi.string().valid('on', 'off').default('off'),
  OTEL_EXPORTER_OTLP_ENDPOINT: Joi.string()
    .uri({ scheme: ['http', 'https'] })
    .allow('')
    .default(''),
  LOG_LEVEL: Joi.string().valid('debug', 'info', 'warn', 'error', 'silent').default('info'),
});

/** What the one-shot migration needs: the owner's connection, which no replica ever sees, and the roles' passwords. */
export interface MigrationConfig {
  readonly DATABASE_ADMIN_URL: string;
  readonly DATABASE_APP_PASSWORD: string;
  readonly DATABASE_METRICS_PASSWORD: string;
}

const migrationSchema = Joi.object<MigrationConfig, true>({
  DATABASE_ADMIN_URL: databaseUrl,
  DATABASE_APP_PASSWORD: Joi.string().min(8).required(),
  DATABASE_METRICS_PASSWORD: Joi.string().min(8).required(),
});

/** @throws Error naming every variable that is wrong, never its value (it may be a secret). */
function check<T>(schema: Joi.ObjectSchema<T>, environment: NodeJS.ProcessEnv): Readonly<T> {
  const { value, error } = schema.validate(environment, { abortEarly: false, stripUnknown: true });
  if (error) throw new Error(`bad configuration: ${error.details.map((detail) => detail.message).join('; ')}`);
  return Object.freeze(value);
}

export const loadConfig = (environment: NodeJS.ProcessEnv) => check(schema, environment);
export const loadMigrationConfig = (environment: NodeJS.ProcessEnv) => check(migrationSchema, environment);
