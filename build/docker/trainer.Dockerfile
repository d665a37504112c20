# The trainer: its service, and beside it the worker that carries libtorch and is started once a rank, by Open MPI.
FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
ARG PROJECT
WORKDIR /src
COPY . .
RUN dotnet publish "$PROJECT" -c Release -o /app \
 && dotnet publish services/trainer/Drover.Trainer.Worker -c Release -o /app/worker

FROM mcr.microsoft.com/dotnet/aspnet:10.0
RUN apt-get update \
 && apt-get install -y --no-install-recommends openmpi-bin \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /app /app
WORKDIR /app
ENV DROVER_Drover__DataFolder=/data
VOLUME /data
ENTRYPOINT ["dotnet"]
