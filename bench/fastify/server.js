// Fastify 5 as its documentation has it: its own logger, JSON schemas for input and output, helmet, metrics, cache-aside.
// No write is idempotent, and a reader can store a value that a write has just replaced. BARE=on: as in its quick start,
// without log, metrics and helmet, which is what its published benchmarks measure.
import helmet from '@fastify/helmet';
import Fastify from 'fastify';
import metrics from 'fastify-metrics';
import { Redis } from 'ioredis';
import pg from 'pg';

const { PORT, DATABASE_URL, REDIS_URL, INSTANCE_NAME, BARE } = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
const redis = new Redis(REDIS_URL);
const TTL_SECONDS = 60;

const title = { type: 'string', minLength: 1, maxLength: 200 };
const description = { type: ['string', 'null'], maxLength: 4000 };
const status = { type: 'string', enum: ['pending', 'in_progress', 'completed'] };
const newTask = {
  type: 'object',
  additionalProperties: false,
  required: ['title'],
  properties: { title, description, status },
};
const taskChanges = {
  type: 'object',
  additionalProperties: false,
  minProperties: 1,
  properties: { title, description, status },
};
const taskParams = { type: 'object', required: ['id'], properties: { id: { type: 'integer', minimum: 1 } } };
const itemParams = { type: 'object', required: ['id'], properties: { id: { type: 'string', format: 'uuid' } } };
const timestamp = { type: 'string' };
const row = (id) => ({
  type: 'object',
  properties: { id, title, description, status: { type: 'string' }, created_at: timestamp, updated_at: timestamp },
});
const task = row({ type: 'integer' });
const taskReply = { type: 'object', properties: { source: { type: 'string' }, task } };
const taskWritten = { type: 'object', properties: { message: { type: 'string' }, task } };

const COLUMNS = 'id, title, description, status, created_at, updated_at';

const app = Fastify({ logger: BARE !== 'on' });
if (BARE !== 'on') {
  await app.register(helmet);
  await app.register(metrics, { endpoint: '/metrics' });
}

app.get('/ping', async () => ({ message: `pong from ${INSTANCE_NAME}`, instance: INSTANCE_NAME }));

app.get('/tasks/:id', { schema: { params: taskParams, response: { 200: taskReply } } }, async (request, reply) => {
  const { id } = request.params;
  const cached = await redis.get(`task:${id}`);
  if (cached) return { source: 'cache', task: JSON.parse(cached) };
  const { rows } = await pool.query(`SELECT ${COLUMNS} FROM tasks WHERE id = $1`, [id]);
  if (rows.length === 0) return reply.code(404).send({ error: 'There is no task with this id' });
  await redis.set(`task:${id}`, JSON.stringify(rows[0]), 'EX', TTL_SECONDS);
  return { source: 'database', task: rows[0] };
});

app.post('/tasks', { schema: { body: newTask, response: { 201: taskWritten } } }, async (request, reply) => {
  const { title, description = null, status = 'pending' } = request.body;
  const { rows } = await pool.query(
    `INSERT INTO tasks (title, description, status) VALUES ($1, $2, $3) RETURNING ${COLUMNS}`,
    [title, description, status],
  );
  await redis.del('tasks');
  reply.code(201).header('Location', `/tasks/${rows[0].id}`);
  return { message: 'Task created successfully', task: rows[0] };
});

app.put(
  '/tasks/:id',
  { schema: { params: taskParams, body: taskChanges, response: { 200: taskWritten } } },
  async (request, reply) => {
    const { id } = request.params;
    const { title, description, status } = request.body;
    const { rows } = await pool.query(
      `UPDATE tasks SET title = COALESCE($2, title), description = COALESCE($3, description),
         status = COALESCE($4, status), updated_at = now() WHERE id = $1 RETURNING ${COLUMNS}`,
      [id, title, description, status],
    );
    if (rows.length === 0) return reply.code(404).send({ error: 'There is no task with this id' });
    await redis.del(`task:${id}`, 'tasks');
    return { message: 'Task updated successfully', task: rows[0] };
  },
);

app.get(
  '/items/:id',
  { schema: { params: itemParams, response: { 200: row({ type: 'string' }) } } },
  async (request, reply) => {
    const { rows } = await pool.query(`SELECT ${COLUMNS} FROM items WHERE id = $1`, [request.params.id]);
    if (rows.length === 0) return reply.code(404).send({ error: 'There is no item with this id' });
    return rows[0];
  },
);

await app.listen({ port: Number(PORT), host: '127.0.0.1' });
