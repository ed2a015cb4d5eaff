// The same job in JavaScript: the signature, the log's id and time, a conditional PutObject, by the AWS SDK v3 with its
// defaults. No schema, no indicators, no metrics. The loop is what Lambda's Node runtime does around a handler, at its
// shortest.

import { createHmac, timingSafeEqual } from "node:crypto";
import { Agent, request } from "node:http";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";

const { AWS_LAMBDA_RUNTIME_API, LAKE_BUCKET, TRACEBIT_SECRET } = process.env;
const runtime = `http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;
const agent = new Agent({ keepAlive: true });
const s3 = new S3Client({});

async function handler(event) {
  const body = Buffer.from(event.body, event.isBase64Encoded ? "base64" : "utf8");
  const sent = Buffer.from(event.headers["x-tracebit-signature-256"] ?? "", "hex");
  const expected = createHmac("sha256", TRACEBIT_SECRET).update(body).digest();
  if (sent.length !== expected.length || !timingSafeEqual(sent, expected)) return { statusCode: 401 };
  const log = JSON.parse(body);
  const Key = `tracebit_alert/${log.timestamp}-${log.id}.json`;
  await s3.send(new PutObjectCommand({ Bucket: LAKE_BUCKET, Key, Body: `${JSON.stringify(log)}\n`, IfNoneMatch: "*" }));
  return { statusCode: 200, body: '{"stored":1}' };
}

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const call = request(runtime + path, { method, agent }, async (answer) => {
      resolve({ headers: answer.headers, text: (await answer.toArray()).join("") });
    });
    call.on("error", reject).end(body);
  });
}

for (;;) {
  const { headers, text } = await call("GET", "/invocation/next");
  let kind = "response";
  let result;
  try {
    result = await handler(JSON.parse(text));
  } catch (error) {
    [kind, result] = ["error", { errorMessage: error.stack }];
  }
  await call("POST", `/invocation/${headers["lambda-runtime-aws-request-id"]}/${kind}`, JSON.stringify(result));
}
