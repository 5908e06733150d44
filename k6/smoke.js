// A minute of light load on every part of the API: k6 run k6/smoke.js   (BASE_URL=http://localhost)
import { check, sleep } from 'k6';
import http from 'k6/http';

const url = __ENV.BASE_URL || 'http://localhost';

export const options = {
  vus: 3,
  duration: '1m',
  thresholds: { http_req_failed: ['rate<0.01'], checks: ['rate>0.99'] },
};

export default function () {
  for (const path of ['/ping', '/items', '/tasks', '/products', '/kv/stats']) {
    const answer = http.get(`${url}${path}`, { tags: { name: path } });
    check(answer, { 'answers 200': ({ status }) => status === 200 });
  }
  sleep(0.5);
}
