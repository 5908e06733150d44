// Express 5 as its documentation and the usual middleware have it: helmet, pino-http, express-prom-bundle, Joi, cache-aside.
// No write is idempotent, and a reader can store a value that a write has just replaced.
import express from 'express';
import promBundle from 'express-prom-bundle';
import helmet from 'helmet';
import { Redis } from 'ioredis';
import Joi from 'joi';
import pg from 'pg';
import { pinoHttp } from 'pino-http';

const { PORT, DATABASE_URL, REDIS_URL, INSTANCE_NAME } = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
const redis = new Redis(REDIS_URL);
const TTL_SECONDS = 60;

const newTask = Joi.object({
  title: Joi.string().trim().min(1).max(200).required(),
  description: Joi.string().max(4000).allow(null, ''),
  status: Joi.string().valid('pending', 'in_progress', 'completed'),
});
const taskChanges = newTask.fork('title', (title) => title.optional()).min(1);
const taskId = Joi.number().integer().min(1).required();
const itemId = Joi.string().uuid().required();

class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function validate(schema, value, status = 400) {
  const result = schema.validate(value, { abortEarly: false });
  if (result.error) throw new HttpError(status, result.error.message);
  return result.value;
}

const COLUMNS = 'id, title, description, status, created_at, updated_at';

const app = express();
app.use(helmet());
app.use(pinoHttp());
app.use(promBundle({ includeMethod: true, includePath: true, normalizePath: [['^/(tasks|items)/.*', '/$1/:id']] }));
app.use(express.json());

app.get('/ping', (_request, response) => {
  response.json({ message: `pong from ${INSTANCE_NAME}`, instance: INSTANCE_NAME });
});

app.get('/tasks/:id', async (request, response) => {
  const id = validate(taskId, request.params.id);
  const cached = await redis.get(`task:${id}`);
  if (cached) return response.json({ source: 'cache', task: JSON.parse(cached) });
  const { rows } = await pool.query(`SELECT ${COLUMNS} FROM tasks WHERE id = $1`, [id]);
  if (rows.length === 0) throw new HttpError(404, 'There is no task with this id');
  await redis.set(`task:${id}`, JSON.stringify(rows[0]), 'EX', TTL_SECONDS);
  response.json({ source: 'database', task: rows[0] });
});

app.post('/tasks', async (request, response) => {
  const { title, description = null, status = 'pending' } = validate(newTask, request.body, 422);
  const { rows } = await pool.query(
    `INSERT INTO tasks (title, description, status) VALUES ($1, $2, $3) RETURNING ${COLUMNS}`,
    [title, description, status],
  );
  await redis.del('tasks');
  response.status(201).location(`/tasks/${rows[0].id}`).json({ message: 'Task created successfully', task: rows[0] });
});

app.put('/tasks/:id', async (request, response) => {
  const id = validate(taskId, request.params.id);
  const { title, description, status } = validate(taskChanges, request.body, 422);
  const { rows } = await pool.query(
    `UPDATE tasks SET title = COALESCE($2, title), description = COALESCE($3, description),
       status = COALESCE($4, status), updated_at = now() WHERE id = $1 RETURNING ${COLUMNS}`,
    [id, title, description, status],
  );
  if (rows.length === 0) throw new HttpError(404, 'There is no task with this id');
  await redis.del(`task:${id}`, 'tasks');
  response.json({ message: 'Task updated successfully', task: rows[0] });
});

app.get('/items/:id', async (request, response) => {
  const id = validate(itemId, request.params.id);
  const { rows } = await pool.query(`SELECT ${COLUMNS} FROM items WHERE id = $1`, [id]);
  if (rows.length === 0) throw new HttpError(404, 'There is no item with this id');
  response.json(rows[0]);
});

app.use((error, request, response, _next) => {
  const status = error.status ?? 500;
  if (status >= 500) request.log.error(error);
  response.status(status).json({ error: status >= 500 ? 'Internal Server Error' : error.message });
});

app.listen(Number(PORT), '127.0.0.1');
