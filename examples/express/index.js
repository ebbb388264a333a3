"use strict";

const express = require("express");

const app = express();
const port = process.env.PORT || 3000;

app.get("/", (request, response) => {
  response.send(`<h1>Hello</h1><p>Served by Node ${process.version}.</p>\n`);
});

app.get("/health", (request, response) => {
  response.json({ status: "ok" });
});

const server = app.listen(port, () => console.log(`listening on port ${port}`));

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => server.close());
}
