# A service that needs nothing beyond .NET. PROJECT is its folder; docker-compose.yml says which program of /app it runs.
FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
ARG PROJECT
WORKDIR /src
COPY . .
RUN dotnet publish "$PROJECT" -c Release -o /app

FROM mcr.microsoft.com/dotnet/aspnet:10.0
COPY --from=build /app /app
WORKDIR /app
ENV DROVER_Drover__DataFolder=/data
VOLUME /data
ENTRYPOINT ["dotnet"]
